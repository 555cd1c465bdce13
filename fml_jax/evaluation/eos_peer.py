"""eos-py as a peer: a face model that the user names, fitted to MediaPipe's landmarks of the same pictures.

eos (Huber et al., VISAPP 2016) fits a morphable model to 68 landmarks. It brings no model; its authors give the Surrey
Face Model with the files that are needed here, and convert others. The meshes are then measured like those of any
other program (`evaluation.peers`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.evaluation.known_pictures import KnownPicture
from fml_jax.files import complete_or_absent, output_folder
from fml_jax.importers.raw_model import one_line
from fml_jax.photos.landmarks import detect_landmarks, ibug68

TITLE = "eos-py"  # folder of the meshes, by which the table names them
_FOLDER = "eos"


class Eos:
    """Fits a model with eos-py."""

    def __init__(self, files: Sequence[str]) -> None:
        """
        Args:
          files: the model (.bin), the file that maps iBUG's numbers to its vertices (.txt), and the expressions'
            blendshapes (.bin) if they are not in the model.

        Raises:
          InputError: not two or three files, one is missing, or eos-py is.
        """
        if len(files) not in (2, 3):
            raise InputError("--eos: give MODEL.bin,MAPPING.txt or MODEL.bin,MAPPING.txt,BLENDSHAPES.bin")
        self._paths = [Path(each) for each in files]
        if missing := [path for path in self._paths if not path.is_file()]:
            raise InputError(f"--eos: {missing[0]} is no file; give those of eos' folder share")
        self._eos = _package()

    @property
    def digest(self) -> str:
        """Of the files' contents."""
        return hashlib.sha1(b"".join(path.read_bytes() for path in self._paths)).hexdigest()[:12]

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """The model with its expressions, and the mapping."""
        models = self._eos.morphablemodel
        try:
            model = models.load_model(str(self._paths[0]))
            mapping = self._eos.core.LandmarkMapper(str(self._paths[1]))
            if len(self._paths) == 3:
                shapes = models.load_blendshapes(str(self._paths[2]))
                model = models.MorphableModel(model.get_shape_model(), shapes, model.get_color_model())
        except Exception as error:
            reason = one_line(error)
            raise InputError(
                f"--eos: {self._paths[0]} or its other files cannot be read by eos-py ({reason})"
            ) from None
        return model, mapping

    def mesh(self, landmarks: Float[np.ndarray, "68 2"], size: tuple[int, int]) -> Any:
        """eos' mesh of a picture.

        Args:
          landmarks: iBUG's, pixels.
          size: width and height of the picture.

        Raises:
          InputError: the files cannot be read.
        """
        (model, mapping), make = self._parts, self._eos.core.Landmark
        marks = [make(str(k + 1), point) for k, point in enumerate(landmarks.astype(np.float32))]
        return self._eos.fitting.fit_shape_and_pose(model, marks, mapping, *size)[0]

    def write_meshes(self, cases: Iterable[KnownPicture], output: Path) -> Path | None:
        """Writes a mesh for each picture on which MediaPipe sees a face; those that are there stay. Shows a bar.

        Args:
          output: of the tables; the meshes lie in a folder below it, another one for other files.

        Returns:
          The folder of the meshes; None where there is no mesh.

        Raises:
          InputError: the files cannot be read, or the folder cannot be written.
        """
        folder = output_folder(output / _FOLDER / self.digest / TITLE)
        for case in tqdm(list(cases), unit="mesh", desc=TITLE):
            path = folder / f"{case.name}.obj"
            found = None if path.is_file() else detect_landmarks(case.rgb)
            if found is not None:
                mesh = self.mesh(ibug68(found), (case.rgb.shape[1], case.rgb.shape[0]))
                with complete_or_absent(path) as partial:
                    self._eos.core.write_obj(mesh, str(partial))
        return folder if any(folder.glob("*.obj")) else None


def _package() -> Any:
    try:
        import eos
    except ImportError:
        raise InputError("--eos needs eos-py; run: pip install eos-py") from None
    return eos
