"""ICT-FaceKit: the folder of OBJ files of its repository, or the same in one npz file.

Meshes are absolute, in units of about a centimetre; `generic_neutral_mesh.obj` is the neutral face, `identity###.obj`
are one standard deviation from it, and all other meshes are expressions at full strength.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fml_jax import safe_npz
from fml_jax.errors import InputError
from fml_jax.importers.mesh_files import MeshFile, read_mesh
from fml_jax.importers.raw_model import RawModel, beginning, checked, existing, outward

NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
VERTICES = 26719
# The topology's vertex ranges: head and neck, eyeballs (sclera and cornea). Sockets, teeth and the rest are left out.
_KEPT = ((0, 11248), (21451, 22221), (23021, 23791))
_MM = 10.0
_MOST_MESHES, _MOST_BYTES = 400, 2**22
# Root mean square of a weight that is drawn evenly from [0, 1] one time in three.
WEIGHT_DEVIATION = 1 / 3
_JOINED = ("browInnerUp", "cheekPuff")  # ARKit has one shape for both sides
_NO_EXPRESSION = ("PupilDilate",)
_NOT_ARKIT = ("cheekRaiser",)


def read_ict(path: Path) -> RawModel:
    """Reads the folder (or its `FaceXModel`), or the npz file.

    Raises:
      InputError: a file is missing or damaged, or the meshes have another topology.
    """
    neutral, identity, names, expressions, marks = _read_folder(path) if path.is_dir() else _read_npz(path)
    if len(neutral.vertices) != VERTICES:
        raise InputError(f"{path}: {len(neutral.vertices)} vertices, but ICT-FaceKit has {VERTICES}; check the files")
    kept = np.concatenate([np.arange(*each) for each in _KEPT])
    new_of_old = np.full(VERTICES, -1)
    new_of_old[kept] = np.arange(len(kept))
    inside = (new_of_old[neutral.triangles] >= 0).all(axis=1)
    mean = neutral.vertices[kept] * _MM
    triangles, turned = outward(mean, new_of_old[neutral.triangles[inside]])
    model = RawModel(
        path.stem,
        mean.astype(np.float32),
        triangles,
        identity[:, kept] * np.float32(_MM),
        landmarks68=np.where(marks >= 0, new_of_old[marks], -1) if len(marks) == 68 else None,
        notes=(
            *("triangles turned to be counter-clockwise from outside",) * turned,
            f"{len(identity)} identity modes; {len(names)} expression shapes",
            "its own teeth, gums, tongue, lashes and sockets are left out",
        ),
    )
    if neutral.uv is not None and neutral.uv_triangles is not None:
        corners = neutral.uv_triangles[inside]
        model = model._replace(uv=neutral.uv, uv_triangles=corners[:, ::-1].copy() if turned else corners)
    wanted = [k for k, name in enumerate(names) if not name.startswith(_NO_EXPRESSION)]
    if wanted:
        model = model._replace(
            expression=expressions[wanted][:, kept] * np.float32(_MM * WEIGHT_DEVIATION),
            named_shapes=_named([names[k] for k in wanted]),
            notes=(
                *model.notes,
                f"each expression shape is one mode; one standard deviation is a weight of {WEIGHT_DEVIATION:.2f}",
            ),
        )
    return checked(path, model)


def _named(names: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """ARKit's names, and their codes."""
    codes: dict[str, np.ndarray] = {}
    for k, name in enumerate(names):
        if not name.startswith(_NOT_ARKIT):
            arkit = name.replace("_L", "Left").replace("_R", "Right")
            arkit = next((joined for joined in _JOINED if name.startswith(joined)), arkit)
            codes.setdefault(arkit, np.zeros(len(names), np.float32))[k] = 1 / WEIGHT_DEVIATION
    return tuple(codes), np.stack(list(codes.values())) if codes else np.zeros((0, len(names)), np.float32)


def _read_folder(path: Path):
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    neutral = read_mesh(existing(folder / NEUTRAL, "neutral mesh of ICT-FaceKit"))
    paths = sorted(each for each in folder.glob("*.obj") if each.name != NEUTRAL)
    if len(paths) > _MOST_MESHES:
        raise InputError(f"{folder}: {len(paths)} meshes; ICT-FaceKit has 157")
    of_identity = [each for each in paths if each.name.startswith("identity")]
    if not of_identity:
        raise InputError(f"{folder}: has no identity000.obj; give the folder FaceXModel of ICT-FaceKit")
    of_expression = [each for each in paths if each not in of_identity]
    differences = [_difference(each, neutral) for each in of_identity + of_expression]
    identity, expressions = differences[: len(of_identity)], differences[len(of_identity) :]
    indices = folder / INDICES
    marks = _landmarks(indices, beginning(indices, _MOST_BYTES)) if indices.is_file() else np.array([])
    stacked = np.stack(expressions) if expressions else np.zeros((0, len(neutral.vertices), 3), np.float32)
    return neutral, np.stack(identity), [each.stem for each in of_expression], stacked, marks


def _difference(path: Path, neutral: MeshFile) -> np.ndarray:
    mesh = read_mesh(path)
    if mesh.vertices.shape != neutral.vertices.shape:
        raise InputError(f"{path}: {len(mesh.vertices)} vertices, but {NEUTRAL} has {len(neutral.vertices)}")
    return (mesh.vertices - neutral.vertices).astype(np.float32)


def _landmarks(path: Path, text: bytes | str) -> np.ndarray:
    try:
        content: Any = json.loads(text)
        marks = np.array(content["idx_to_landmark_verts"], np.int64)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise InputError(
            f"{path}: has no list 'idx_to_landmark_verts' of vertices; copy or download it again"
        ) from None
    if marks.shape != (68,) or marks.min() < 0 or marks.max() >= VERTICES:
        raise InputError(f"{path}: its landmarks are not 68 numbers of vertices below {VERTICES}; check the file")
    return marks


def _read_npz(path: Path):
    arrays = safe_npz.read_npz(path, "ICT-FaceKit file")
    shapes = {"neutral": (VERTICES, 3), "identity": (None, VERTICES, 3), "expressions": (None, VERTICES, 3)}
    shapes |= {"quads": (None, 4), "uv": (None, 2), "uv_quads": (None, 4), "expression_names": (None,)}
    for name, shape in shapes.items():
        found = arrays[name].shape if name in arrays else ()
        fits = len(found) == len(shape) and 0 not in found
        if not fits or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
            raise InputError(f"{path}: {name!r} is missing or has another shape than ICT-FaceKit's")
        if (arrays[name].dtype.kind == "U") != (name == "expression_names"):
            raise InputError(f"{path}: {name!r} holds {arrays[name].dtype}; check the file")
    for name, limit in (("quads", VERTICES), ("uv_quads", len(arrays["uv"]))):
        numbers = arrays[name]
        if numbers.dtype.kind not in "iu" or numbers.min() < -1 or numbers.max() >= limit:
            raise InputError(f"{path}: {name!r} names vertices outside 0…{limit - 1}")
    triangles, uv_triangles = (_triangulated(arrays[name], arrays["quads"]) for name in ("quads", "uv_quads"))
    neutral = MeshFile(arrays["neutral"], triangles, uv=arrays["uv"], uv_triangles=uv_triangles)
    marks = _landmarks(path, str(arrays["vertex_indices"])) if "vertex_indices" in arrays else np.array([])
    names = [str(name) for name in arrays["expression_names"]]
    if len(names) != len(arrays["expressions"]):
        raise InputError(f"{path}: {len(names)} names for {len(arrays['expressions'])} expressions")
    return neutral, arrays["identity"].astype(np.float32), names, arrays["expressions"].astype(np.float32), marks


def _triangulated(rows: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Triangles of quads whose fourth corner is −1 where they are triangles already."""
    is_quad = quads[:, 3] >= 0
    both = np.concatenate([rows[:, :3], rows[is_quad][:, [0, 2, 3]]])
    return both.astype(np.int64)
