"""The jobs of a batch: what is asked for, the photos of a job, and what became of them.

The launching process of a batch reads this module, and imports neither JAX nor what writes files of faces.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fml_jax.export.formats import ALL_ENDINGS, DEFAULT, TEXTURES, checked_formats, checked_texture
from fml_jax.export.page import picture_paths
from fml_jax.export.result_folder import PhotoEntry
from fml_jax.export.viewer.folder import script_path
from fml_jax.files import checksum
from fml_jax.photos.detection import AUTO, detector_name
from fml_jax.reconstruction.open_network import OPEN_WEIGHTS

PHOTOS_PER_JOB = 16  # larger ones leave a worker idle at the end for longer
PHOTOS_PER_REFINING_JOB = 8  # refinement takes seconds a face, and a job that is cut off begins anew


@dataclass(frozen=True)
class Settings:
    """The settings of a reconstruction."""

    reconstructor: tuple[tuple[str, Any], ...] = ()  # (name, value) of arguments of `Reconstructor`
    refine: bool = False
    boxes: tuple[tuple[float, ...], ...] | None = None  # of a single photo, instead of detection
    formats: tuple[str, ...] = DEFAULT  # of `fml_jax.export.formats.FORMATS`; photos whose files lack one are redone
    texture: str = TEXTURES[0]  # of `fml_jax.export.formats.TEXTURES`
    same_person: bool = False  # all photos show one person; they are one job

    def __post_init__(self) -> None:
        object.__setattr__(self, "formats", checked_formats(self.formats))
        checked_texture(self.texture)

    def fingerprint(self) -> str:
        """Text that differs where results may differ; weights count by their content."""
        arguments = dict(self.reconstructor)
        weights = Path(arguments.pop("weights", None) or OPEN_WEIGHTS)
        arguments["detector"] = detector_name(arguments.get("detector", AUTO))
        digest = checksum(weights) if weights.is_file() else str(weights)
        if "face_model" in arguments:
            model = Path(arguments.pop("face_model"))
            digest += checksum(model) if model.is_file() else str(model)
        given = [digest, sorted(arguments.items()), self.refine, self.boxes]
        given += [self.texture] * (self.texture != TEXTURES[0]) + ["same person"] * self.same_person
        return json.dumps(given)

    @property
    def photos_per_job(self) -> int:
        """How many photos are worked on together."""
        if self.same_person:
            return sys.maxsize
        return PHOTOS_PER_REFINING_JOB if self.refine else PHOTOS_PER_JOB


class JobPhoto(NamedTuple):
    """A photo to be reconstructed."""

    path: str  # absolute
    stem: str  # first part of its results' names, relative to the folder
    shown: str  # its path relative to the input
    stamp: str
    faces_before: tuple[int, ...] | None  # of an earlier run, whose files are replaced; None if there was none


class JobResult(NamedTuple):
    """The outcome of a job's photos; if the job was stopped, of those that were done."""

    entries: list[PhotoEntry]
    disk_full: str | None = None  # the reason why it was stopped
    interrupted: bool = False  # by Ctrl-C


def files_of_face(folder: Path, stem: str, index: int, *, endings: tuple[str, ...] = ALL_ENDINGS) -> list[Path]:
    """The files of a face with some endings, and its pictures."""
    results = [folder / f"{stem}_{index}{ending}" for ending in endings]
    return [*results, *picture_paths(folder, stem, index).values(), script_path(folder, stem, index)]
