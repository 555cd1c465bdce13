"""Reads ICT-FaceKit: one npz file, or the folder of OBJ files of the original repository."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fml_jax.errors import InputError

MM_PER_UNIT = 10.0
NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
IDENTITIES = 100
# The topology's vertex ranges, the end excluded.
HEAD = slice(0, 11248)
MOUTH_SOCKET = slice(11248, 13294)
GUMS_AND_TONGUE = slice(14062, 17039)
TEETH = slice(17039, 21451)
EYEBALLS = (
    slice(21451, 22221),
    slice(23021, 23791),
)  # left and right: sclera and cornea
LASHES = slice(25351, 26719)
# Shapes that are no expression, or that name the same unit for both sides where ARKit has one for the whole face.
_NO_EXPRESSION = ("PupilDilate_L", "PupilDilate_R")
_JOINED = ("browInnerUp", "cheekPuff")


@dataclass(frozen=True)
class FaceKit:
    """ICT-FaceKit in mm: x to the subject's left, y up, z out of the face."""

    neutral: np.ndarray  # [26719, 3]
    identity: np.ndarray  # [100, 26719, 3] differences from the neutral face; coefficients are unit normal
    expression_names: list[str]  # the source's
    expressions: np.ndarray  # [57, 26719, 3] differences from the neutral face
    quads: np.ndarray  # [26384, 4]; −1 as the fourth corner of triangles
    uv: np.ndarray  # [28911, 2]
    uv_quads: np.ndarray  # [26384, 4]
    landmarks68: np.ndarray  # [68] vertices

    def shape(self, name: str) -> np.ndarray:
        """[26719, 3]: the displacements of one of the source's shapes."""
        return self.expressions[self.expression_names.index(name)]

    def units(self) -> tuple[list[str], np.ndarray]:
        """The expression shapes, one sided as in the source: names in ARKit's spelling [K], displacements [K, V, 3]."""
        kept = [k for k, name in enumerate(self.expression_names) if name not in _NO_EXPRESSION]
        return [arkit_spelling(self.expression_names[k]) for k in kept], self.expressions[kept]


def arkit_spelling(name: str) -> str:
    """eyeBlink_L → eyeBlinkLeft."""
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name[: -len(ending)] + side
    return name


def arkit_combinations(names: list[str]) -> dict[str, list[int]]:
    """ARKit's names, each with the numbers of the units in `names` whose sum it is."""
    of_name: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        joined = next((stem for stem in _JOINED if name.startswith(stem)), name)
        if not name.startswith("cheekRaiser"):  # which ARKit lacks
            of_name.setdefault(joined, []).append(number)
    return of_name


def read_face_kit(path: Path) -> FaceKit:
    """Reads an npz file, or a clone of the repository (or its FaceXModel folder).

    Raises:
      InputError: a file is missing.
    """
    return _read_folder(path) if path.is_dir() else _read_npz(path)


def _read_npz(path):
    if not path.exists():
        raise InputError(f"{path}: no such file; give ICT-FaceKit's npz file or the folder of its OBJ files with --ict")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return FaceKit(
        neutral=arrays["neutral"].astype(float) * MM_PER_UNIT,
        identity=arrays["identity"].astype(np.float32) * MM_PER_UNIT,
        expression_names=arrays["expression_names"].tolist(),
        expressions=arrays["expressions"].astype(float) * MM_PER_UNIT,
        quads=arrays["quads"],
        uv=arrays["uv"],
        uv_quads=arrays["uv_quads"],
        landmarks68=np.array(json.loads(str(arrays["vertex_indices"]))["idx_to_landmark_verts"]),
    )


def _read_folder(folder):
    folder = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder
    indices_path, neutral_path = folder / INDICES, folder / NEUTRAL
    for path in (indices_path, neutral_path):
        if not path.exists():
            raise InputError(f"{path}: missing; give a clone of ICT-FaceKit's repository with --ict")
    identity_paths = [folder / f"identity{number:03d}.obj" for number in range(IDENTITIES)]
    expression_paths = sorted(
        path for path in folder.glob("*.obj") if not path.name.startswith("identity") and path.name != NEUTRAL
    )
    for path in identity_paths:
        if not path.exists():
            raise InputError(f"{path}: missing; the clone of ICT-FaceKit's repository is not complete")
    neutral, uv, quads, uv_quads = read_obj(neutral_path)
    return FaceKit(
        neutral=neutral * MM_PER_UNIT,
        identity=np.stack([(read_vertices(path) - neutral) * MM_PER_UNIT for path in identity_paths]).astype(
            np.float32
        ),
        expression_names=[path.stem for path in expression_paths],
        expressions=np.stack([(read_vertices(path) - neutral) * MM_PER_UNIT for path in expression_paths]),
        quads=quads,
        uv=uv,
        uv_quads=uv_quads,
        landmarks68=np.array(json.loads(indices_path.read_text())["idx_to_landmark_verts"]),
    )


def read_vertices(path: Path) -> np.ndarray:
    """Vertices [V, 3] of a Wavefront file."""
    return np.array([line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")], float)


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A Wavefront file's vertices [V, 3], uv [M, 2], and quads of both [Q, 4], −1 as the fourth corner of triangles."""
    vertices, uv, corners = [], [], []
    for line in path.read_text().splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "v":
            vertices.append(values[:3])
        elif keyword == "vt":
            uv.append(values[:2])
        elif keyword == "f":
            face = [[int(number) - 1 for number in corner.split("/")[:2]] for corner in values]
            corners.append(face + [[-1, -1]] * (4 - len(face)))
    quads = np.array(corners, np.int32)
    return np.array(vertices, float), np.array(uv, float), quads[..., 0], quads[..., 1]
