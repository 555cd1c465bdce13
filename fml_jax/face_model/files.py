"""The file format of face models: an npz of plain arrays, validated when it is read.

Format 1 has a coarse control mesh whose Catmull–Clark subdivision is the standard mesh. Format 2 has the standard mesh
itself, its modes as integers, and further parts of a head (teeth, tongue, lashes) that follow the same codes. Format 3,
which importers write, has triangles and modes as real numbers; its mesh is used as it is at every detail.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax import safe_npz
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, restrict
from fml_jax.face_model.integer_modes import restored
from fml_jax.face_model.landmarks import CONTOUR, Landmarks
from fml_jax.face_model.subdivision import catmull_clark, subdivide_uv, triangulate
from fml_jax.face_model.topology import make_topology, too_many_around

OPEN_MODEL = Path(__file__).parent / "open_model.npz"
DETAILS = ("standard", "fine", "face")

# name → shape; the same letter is the same size: C control vertices, N vertices, Q quads, …
_COMMON_SHAPES = {
    "reflectance_mean": "N3",
    "reflectance": "rN3",
    "uv": "M2",
    "region_names": "R",
    "regions": "RN",
    "landmarks478_vertices": "L3",
    "landmarks478_weights": "L3",
    "landmarks68_from_478": "B",
    "contour_yaws": "Y",
    "contour_vertices": "YS3",
    "contour_weights": "YS3",
    "contour_candidates": "K",
}
_OF_QUADS = {"quads": "Q4", "fine_quads": "Q", "uv_quads": "Q4"}
_SHAPES = {
    1: {"mean": "C3", "identity": "iC3", "expression": "eC3", **_COMMON_SHAPES, **_OF_QUADS},
    2: {
        "mean": "N3",
        "identity": "iN3",
        "identity_steps": "i",
        "expression": "eN3",
        "expression_steps": "e",
        "reflectance_steps": "r",
        "arkit_names": "A",
        "arkit_codes": "Ae",
        **_COMMON_SHAPES,
        **_OF_QUADS,
    },
    3: {
        "mean": "N3",
        "identity": "iN3",
        "expression": "eN3",
        "arkit_names": "A",
        "arkit_codes": "Ae",
        "triangles": "T3",
        "uv_triangles": "T3",
        **_COMMON_SHAPES,
    },
}
_LANDMARK_COUNTS = {"landmarks478_vertices": 478, "landmarks68_from_478": 68}
_PART_SHAPES = {
    "part_names": "P",
    "part_of_vertex": "V",
    "part_mean": "V3",
    "part_identity": "iV3",
    "part_identity_steps": "i",
    "part_expression": "eV3",
    "part_expression_steps": "e",
    "part_triangles": "T3",
    "part_reflectance": "V3",
}


class FacePart(NamedTuple):
    """A part of the head that no photometric term sees, for pictures and files; it follows the face's codes.

    Its vertices are mean + Σ identity code · identity + Σ expression code · expression, in model space.
    """

    mean: np.ndarray  # [V, 3] mm
    identity: np.ndarray  # [80, V, 3]
    expression: np.ndarray  # [64, V, 3]
    triangles: np.ndarray  # [T, 3]
    reflectance: np.ndarray  # [V, 3] sRGB-encoded, the same for all people


def load_face_model(path: str | Path | None = None, detail: str = "standard") -> BaseModel:
    """Reads a face model.

    Args:
      path: a model file; None is the open model that the package carries.
      detail: "standard" (the whole head, one subdivision of the control mesh), "face" (its
        photometric region and landmarks only, for training), or "fine" (a second subdivision of
        the face region, the paper's N). An imported model is not subdivided: its "fine" is its
        "standard", the whole mesh.

    Raises:
      InputError: no such file or detail, or the file is not a face model.
    """
    if detail not in DETAILS:
        raise InputError(f"face model detail {detail!r} is unknown; choose one of {', '.join(DETAILS)}")
    with jax.ensure_compile_time_eval():
        return _build(Path(path or OPEN_MODEL).resolve(), detail)


def load_arkit_shapes(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """The named expression shapes (ARKit's names) as displacements of the standard mesh, [N, 3] mm each."""
    arrays = read_arrays(Path(path or OPEN_MODEL))
    names = [str(name) for name in arrays["arkit_names"]]
    if arrays["format_version"] == 1:
        operator, _ = catmull_clark(arrays["quads"], len(arrays["mean"]))
        return dict(zip(names, _refined(operator, arrays["arkit"].astype(np.float32)), strict=True))
    modes = _modes(arrays, "expression")
    shapes = np.tensordot(arrays["arkit_codes"].astype(np.float32), modes, 1)
    return dict(zip(names, shapes, strict=True))


def load_arkit_codes(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """The named expression shapes (ARKit's names) as codes of the expression modes, [m_e] standard deviations each.

    Raises:
      InputError: no such file, it is no face model, or its named shapes are no sums of its modes (format 1).
    """
    path = Path(path or OPEN_MODEL)
    arrays = read_arrays(path)
    if "arkit_codes" not in arrays:
        raise InputError(f"{path}: this face model's named shapes have no codes; choose one of format 2")
    return dict(zip(arrays["arkit_names"].tolist(), arrays["arkit_codes"].astype(np.float32), strict=True))


def has_face_parts(path: str | Path | None = None) -> bool:
    """Whether a model file has further parts.

    Raises:
      InputError: no such file, or it is no npz file.
    """
    return "part_names" in safe_npz.read_headers(Path(path or OPEN_MODEL), "face model file")


def load_face_parts(path: str | Path | None = None) -> dict[str, FacePart]:
    """The further parts of a model, by name: teeth, gums and tongue, the lining of the mouth, lashes.

    Raises:
      InputError: no such file, it is no face model, or it has no further parts.
    """
    path = Path(path or OPEN_MODEL)
    arrays = read_arrays(path)
    if "part_names" not in arrays:
        raise InputError(f"{path}: this face model has no teeth, tongue or lashes; choose one of format 2 that has")
    check_shapes(path, arrays, _PART_SHAPES | {"identity": "iN3", "expression": "eN3"})
    _check_part_numbers(path, arrays)
    identity = restored(arrays["part_identity"], arrays["part_identity_steps"])
    expression = restored(arrays["part_expression"], arrays["part_expression_steps"])
    parts = {}
    for number, name in enumerate(arrays["part_names"].tolist()):
        vertices = np.flatnonzero(arrays["part_of_vertex"] == number)
        triangles = arrays["part_triangles"].astype(np.int32)
        triangles = triangles[np.isin(triangles[:, 0], vertices)]
        parts[name] = FacePart(
            mean=arrays["part_mean"][vertices].astype(np.float32),
            identity=np.take(identity, vertices, axis=1),
            expression=np.take(expression, vertices, axis=1),
            triangles=np.searchsorted(vertices, triangles).astype(np.int32),
            reflectance=arrays["part_reflectance"][vertices].astype(np.float32),
        )
    return parts


def _check_part_numbers(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    owner, triangles = arrays["part_of_vertex"], arrays["part_triangles"]
    for name, limit in (("part_of_vertex", len(arrays["part_names"])), ("part_triangles", len(owner))):
        _check_range(path, name, arrays[name], limit)
    if (owner[triangles] != owner[triangles[:, :1]]).any():
        raise InputError(f"{path}: 'part_triangles' joins vertices of two parts")
    if around := too_many_around(triangles, len(owner)):
        raise InputError(f"{path}: {around} triangles of its parts share one vertex, too many for {len(owner)}")


def _check_range(path: Path, name: str, numbers: np.ndarray, limit: int) -> None:
    if numbers.dtype.kind not in "iu" or (numbers.size and not 0 <= numbers.min() <= numbers.max() < limit):
        raise InputError(f"{path}: {name!r} names vertices outside 0…{limit - 1}")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a model file, checked against each other.

    Raises:
      InputError: missing, unreadable, of another version, or inconsistent.
    """
    arrays = read_npz(path, *_SHAPES)
    check_shapes(path, arrays, _SHAPES[int(arrays["format_version"])])
    _check_numbers(path, arrays)
    return arrays


def _check_numbers(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Checks that vertex numbers are some of the mesh's, and that landmarks are as many as there should be.

    Raises:
      InputError: an array fails a check.
    """
    for name, count in _LANDMARK_COUNTS.items():
        if len(arrays[name]) != count:
            raise InputError(f"{path}: {name!r} has {len(arrays[name])} entries, not {count}")
    if (
        arrays["contour_vertices"].shape[:2] != (len(arrays["contour_yaws"]), CONTOUR)
        or len(arrays["contour_yaws"]) < 2
    ):
        raise InputError(f"{path}: 'contour_vertices' are not {CONTOUR} points for each of two yaws or more")
    control, standard, uv = len(arrays["mean"]), len(arrays["reflectance_mean"]), len(arrays["uv"])
    limits = {"quads": control, "uv_quads": uv, "triangles": control, "uv_triangles": uv, "landmarks68_from_478": 478}
    limits |= dict.fromkeys(("landmarks478_vertices", "contour_vertices", "contour_candidates"), standard)
    for name, limit in limits.items():
        if name not in arrays:
            continue
        _check_range(path, name, arrays[name], limit)
    faces = arrays["triangles" if "triangles" in arrays else "quads"]
    if around := too_many_around(faces, standard):
        raise InputError(f"{path}: {around} triangles share one vertex, too many for a face of {standard} vertices")


def read_npz(path: Path, *versions: int) -> dict[str, np.ndarray]:
    """All arrays of a file whose `format_version` is one of these.

    Raises:
      InputError: it is missing, unreadable or of another version.
    """
    arrays = safe_npz.read_npz(path, "face model file")
    found = arrays.get("format_version", np.zeros((), int))
    if found.shape != () or found.dtype.kind not in "iu":
        raise InputError(f"{path}: not a face model file (its format_version is no number)")
    if int(found) not in versions:
        raise InputError(
            f"{path}: face model format {int(found)}, this program reads {' and '.join(map(str, versions))}"
        )
    return arrays


def check_shapes(path: Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, str]) -> None:
    """Checks that arrays exist, are finite and have matching shapes; a shape has one digit or letter for each axis.

    Axes with the same letter must have the same size in all arrays.

    Raises:
      InputError: an array fails a check.
    """
    sizes: dict[str, int] = {}
    for name, letters in shapes.items():
        if name not in arrays:
            raise InputError(f"{path}: the face model lacks {name!r}")
        shape = arrays[name].shape
        wanted = tuple(
            int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            for letter, size in zip(letters, shape, strict=False)  # the number of axes is compared below
        )
        if len(shape) != len(letters) or shape != wanted:
            raise InputError(f"{path}: {name!r} has shape {shape}, which does not fit the model's other arrays")
        if not np.issubdtype(arrays[name].dtype, np.str_) and not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: {name!r} holds values that are not finite")


@cache
def _build(path: Path, detail: str) -> BaseModel:
    arrays = read_arrays(path)
    model, quads = _standard(arrays)
    # With the file's checksum, so that weights and corpora of one file are refused with another of the same name.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = "" if path == OPEN_MODEL.resolve() else str(path)
    model = model.replace(name=f"{model.name}-{digest[:8]}", file=file)
    if detail == "face":
        return restrict(model, np.asarray(model.regions["face"]))
    if detail == "fine" and quads is not None:
        return _fine(model, quads, arrays)
    return model


def _standard(arrays) -> tuple[BaseModel, np.ndarray | None]:
    """The model at its standard detail, and its quads; None where it has triangles."""
    mean, modes, quads, uv, uv_quads = _standard_mesh(arrays)
    triangles, uv_triangles = (
        (arrays["triangles"], arrays["uv_triangles"]) if quads is None else (triangulate(quads), triangulate(uv_quads))
    )
    regions = {
        str(name): np.asarray(mask, bool) for name, mask in zip(arrays["region_names"], arrays["regions"], strict=True)
    }
    # `jnp.asarray` would compile a program for each shape.
    parts = jax.device_put(
        {
            "mean": mean.astype(np.float32),
            "identity": modes["identity"],
            "expression": modes["expression"],
            "reflectance_mean": arrays["reflectance_mean"].astype(np.float32),
            "reflectance": modes["reflectance"].astype(np.float32),
            "uv": uv,
            "uv_triangles": uv_triangles.astype(np.int32),
            "regions": regions,
        }
    )
    model = BaseModel(
        **parts,
        topology=make_topology(triangles, len(mean)),
        landmarks=_landmarks(arrays),
        name=str(arrays["name"]),
        has_one_mesh=quads is None,
    )
    return model, quads


def _standard_mesh(arrays):
    """Mean, modes by name, quads, uv and uv_quads of the standard mesh; no quads where it has triangles."""
    if arrays["format_version"] == 3:
        modes = {name: _modes(arrays, name) for name in ("identity", "expression", "reflectance")}
        return arrays["mean"], modes, None, arrays["uv"].astype(np.float32), None
    if arrays["format_version"] == 2:
        modes = {name: _modes(arrays, name) for name in ("identity", "expression", "reflectance")}
        uv = arrays["uv"].astype(np.float32)
        return arrays["mean"], modes, arrays["quads"].astype(np.int64), uv, arrays["uv_quads"].astype(np.int64)
    operator, quads = catmull_clark(arrays["quads"], len(arrays["mean"]))
    uv, uv_quads = subdivide_uv(arrays["uv"].astype(np.float32), arrays["uv_quads"])
    modes = {name: _refined(operator, arrays[name].astype(np.float32)) for name in ("identity", "expression")}
    modes["reflectance"] = arrays["reflectance"]
    return _refined(operator, arrays["mean"][None])[0], modes, quads, uv, uv_quads


def _modes(arrays, name: str) -> np.ndarray:
    """Modes [K, N, 3] of format 2 or 3, float32."""
    steps = f"{name}_steps"
    return restored(arrays[name], arrays[steps]) if steps in arrays else arrays[name].astype(np.float32)


def _fine(model: BaseModel, quads: np.ndarray, arrays) -> BaseModel:
    """One more subdivision, kept on the face region: `fine_quads` of the file's mesh."""
    operator, finer_quads = catmull_clark(quads, model.vertex_count)
    uv, uv_quads = subdivide_uv(np.asarray(model.uv), _quads_of(np.asarray(model.uv_triangles)))
    refined = {
        name: jnp.asarray(_refined(operator, np.asarray(getattr(model, name))))
        for name in ("identity", "expression", "reflectance")
    }
    finer = model.replace(
        mean=jnp.asarray(_refined(operator, np.asarray(model.mean)[None])[0]),
        reflectance_mean=jnp.asarray(_refined(operator, np.asarray(model.reflectance_mean)[None])[0]),
        **refined,
        topology=make_topology(triangulate(finer_quads), operator.shape[0]),
        uv=jnp.asarray(uv),
        uv_triangles=jnp.asarray(triangulate(uv_quads), jnp.int32),
        regions={
            name: jnp.asarray(operator @ np.asarray(mask, np.float32) > 0.5) for name, mask in model.regions.items()
        },
    )
    # Quad k of one level becomes quads 4k … 4k+3 of the next.
    kept_quads = finer_quads[np.repeat(arrays["fine_quads"].astype(bool), len(finer_quads) // len(arrays["quads"]))]
    keep = np.zeros(finer.vertex_count, bool)
    keep[kept_quads] = True
    return restrict(finer, keep)


def _landmarks(arrays) -> Landmarks:
    integers = {
        "fixed_vertices": "landmarks478_vertices",
        "ibug_from_mediapipe": "landmarks68_from_478",
        "contour_vertices": "contour_vertices",
        "candidates": "contour_candidates",
    }
    reals = {
        "fixed_weights": "landmarks478_weights",
        "contour_yaws": "contour_yaws",
        "contour_weights": "contour_weights",
    }
    tables = {field: arrays[name].astype(np.int32) for field, name in integers.items()}
    tables |= {field: arrays[name].astype(np.float32) for field, name in reals.items()}
    return Landmarks(**jax.device_put(tables))


def _refined(operator, displacements: np.ndarray) -> np.ndarray:
    """Modes [K, N0, 3] of the control mesh on the finer mesh: [K, N1, 3]."""
    count, coarse, channels = displacements.shape
    columns = np.moveaxis(displacements, 0, 1).reshape(coarse, count * channels)
    refined = (operator @ columns).reshape(-1, count, channels)
    return np.ascontiguousarray(np.moveaxis(refined, 1, 0), np.float32)


def _quads_of(triangles: np.ndarray) -> np.ndarray:
    """The quads that `triangulate` split into these triangles."""
    return np.concatenate([triangles[0::2], triangles[1::2, 2:]], axis=1)
