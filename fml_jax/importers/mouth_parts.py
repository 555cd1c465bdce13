"""Teeth, tongue and the lining of the mouth for a mesh that ends at the lips: the open model's, moved like its face.

Each mode of the other model is approximated by the open model's modes around the mouth, and moves these parts as they
do. They follow the other model's codes then, as its own vertices do.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import FacePart, load_face_parts
from fml_jax.face_model.integer_modes import quantised
from fml_jax.face_model.surfaces import Mesh, at, closest_on_surface
from fml_jax.image_formation.parts import NOT_DRAWN
from fml_jax.importers.correspondence import Correspondence
from fml_jax.importers.registration import border_vertices

_AROUND = 60.0  # mm from the mouth's middle: what decides how the parts move
_LIPS = 10.0  # the weight of the lips' vertices, against others
_STRENGTH = 1000.0  # what a mean squared distance of 1 mm² is worth against Σ code²
_PRECISION = 0.005  # mm, of the stored modes
_LEAST_BORDER = 12  # vertices of a border at the lips: there is a hole


def ends_at_lips(triangles: Int[np.ndarray, "T 3"], lips: Bool[np.ndarray, "N"]) -> bool:
    """Whether a mesh has a hole at the lips, by the vertices of its lips and the inside of its mouth."""
    return int((border_vertices(triangles, len(lips)) & lips).sum()) >= _LEAST_BORDER


def carried_parts(
    open_model: BaseModel,
    found: Correspondence,
    mesh: Mesh,
    *,
    identity: Float[np.ndarray, "K N 3"],
    expression: Float[np.ndarray, "E N 3"],
) -> dict[str, FacePart]:
    """The open model's drawn parts in another model's mean face, with a mode for each of its modes.

    Args:
      mesh: the other model's mean face, mm.
      identity, expression: its modes.
    """
    open_modes = np.concatenate([np.asarray(open_model.identity), np.asarray(open_model.expression)])
    members, weights = _around_mouth(open_model)
    corners, shares = closest_on_surface(found.bent[members], mesh.vertices, mesh.triangles)
    pose = found.pose
    place = (at(mesh.vertices, corners, shares) - pose.shift) @ pose.rotation / pose.scale
    moved = np.stack([at(mode, corners, shares) for mode in (*identity, *expression)]) @ pose.rotation / pose.scale
    wanted = np.concatenate([(place - np.asarray(open_model.mean)[members])[None], moved])
    codes = _nearest_codes(open_modes[:, members].astype(np.float64), wanted, weights)
    parts = {}
    for name, part in load_face_parts().items():
        if name not in NOT_DRAWN:
            of_open = np.concatenate([part.identity, part.expression])
            carried = np.tensordot(codes, of_open, 1)
            modes = (pose.scale * carried[1:] @ pose.rotation.T).astype(np.float32)
            parts[name] = part._replace(
                mean=pose(part.mean + carried[0]).astype(np.float32),
                identity=modes[: len(identity)],
                expression=modes[len(identity) :],
            )
    return parts


def part_arrays(parts: dict[str, FacePart]) -> dict[str, np.ndarray]:
    """The arrays of a model file that hold parts; `load_face_parts` reads them."""
    starts = np.cumsum([0] + [len(part.mean) for part in parts.values()])
    arrays: dict[str, Any] = {
        "part_names": np.array(list(parts)),
        "part_of_vertex": np.repeat(np.arange(len(parts), dtype=np.int32), np.diff(starts)),
        "part_mean": np.concatenate([part.mean for part in parts.values()]),
        "part_triangles": np.concatenate(
            [part.triangles + start for part, start in zip(parts.values(), starts[:-1], strict=True)]
        ).astype(np.int32),
        "part_reflectance": np.concatenate([part.reflectance for part in parts.values()]),
    }
    for kind in ("identity", "expression"):
        modes = np.concatenate([getattr(part, kind) for part in parts.values()], axis=1)
        arrays[f"part_{kind}"], arrays[f"part_{kind}_steps"] = quantised(modes, _PRECISION)
    return arrays


def _around_mouth(open_model: BaseModel) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [P] of the open model's skin around the mouth, and their weights [P], whose sum is 1."""
    regions = {name: np.asarray(mask) for name, mask in open_model.regions.items()}
    mean = np.asarray(open_model.mean)
    near = np.linalg.norm(mean - mean[regions["lips"]].mean(0), axis=1) < _AROUND
    members = np.flatnonzero(regions["face"] & ~regions["eyes"] & near)
    weights = np.where(regions["lips"][members], _LIPS, 1.0)
    return members, weights / weights.sum()


def _nearest_codes(modes, wanted, weights):
    """[R, K] codes of modes [K, P, 3] whose displacements come nearest to [R, P, 3]."""
    weighted = modes * weights[:, None]
    normal = _STRENGTH * np.tensordot(weighted, modes, ([1, 2], [1, 2])) + np.eye(len(modes))
    return np.linalg.solve(normal, _STRENGTH * np.tensordot(weighted, wanted, ([1, 2], [1, 2]))).T
