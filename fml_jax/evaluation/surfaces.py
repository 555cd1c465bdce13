"""Surface errors on renders with known geometry: the levels of a network, and baselines without one."""

import operator
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from fml_jax.codes import FaceCode, leading_reflectance
from fml_jax.evaluation.metrics import geometry_error, photometric_error
from fml_jax.evaluation.relighting import relit
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.image_formation.points import form_points_of
from fml_jax.ops.sampling import sample_bilinear


class Surfaces(NamedTuple):
    """Geometry in mm and reflectance of B faces, [B, N, 3] each (or [1, N, 3], the same for all)."""

    vertices: np.ndarray
    reflectance: np.ndarray


def known_surfaces(model: BaseModel, batch: Mapping[str, np.ndarray]) -> Surfaces:
    """The true surfaces of renders: stored beside them, or else eq. 3–4 of their codes."""
    if "vertices" in batch:
        return Surfaces(batch["vertices"], batch["reflectance"])
    return _of_codes(model, batch["code"])


def free_surfaces(base: BaseModel, truth: BaseModel, batch: Mapping[str, np.ndarray]) -> dict[str, Surfaces]:
    """The mean face, and the best of what the base level can reach.

    The latter is, of stored truths, "in_span", their least-squares fit by the base level's modes over the face; where
    codes are the truth, "own_modes", their part that the base level has.
    """
    mean = Surfaces(np.asarray(base.mean)[None], np.asarray(base.reflectance_mean)[None])
    if "vertices" in batch:
        return {"mean": mean, "in_span": _in_span(base, known_surfaces(truth, batch))}
    return {"mean": mean, "own_modes": _of_codes(truth.replace(reflectance=base.reflectance), batch["code"])}


def surface_errors(found: Surfaces, true: Surfaces, members: Bool[np.ndarray, "N"]) -> dict[str, float]:
    """`metrics.geometry_error` and `reflectance_error` over vertices where `members` is true."""
    return {
        "geometry_error": geometry_error(np.broadcast_to(found.vertices, true.vertices.shape), true.vertices, members),
        "reflectance_error": reflectance_error(found.reflectance, true.reflectance, members),
    }


def reflectance_error(
    found: Float[np.ndarray, "#B N 3"], true: Float[np.ndarray, "#B N 3"], members: Bool[np.ndarray, "N"]
) -> float:
    """Mean RGB distance over vertices where `members` is true, without each face's mean difference.

    A constant shift may be part of the light or of the reflectance; the paper removes it too (supplement, section 4).
    """
    gaps = (found - true)[:, members]
    return float(np.linalg.norm(gaps - gaps.mean(axis=1, keepdims=True), axis=-1).mean())


def relit_photometric_error(model: BaseModel, surfaces: Surfaces, codes: FaceCode, *, crops: np.ndarray) -> float:
    """E_photo (eq. 9) of surfaces in the pose of their codes, each under the light that fits its crop best.

    Args:
      crops: [B, 240, 240, 3] in [0, 1].
    """
    face, errors = np.asarray(model.regions["face"]), []
    posed = jax.device_get(_posed(model.topology, *_for_each(surfaces, len(crops)), codes, crops))
    for k in range(len(crops)):
        points, seen = jax.tree.map(operator.itemgetter(k), posed)
        members = points.visible & face
        colours = relit(points.reflectance, points.normals, seen, members=members)
        errors.append(photometric_error(colours, seen, members))
    return float(np.mean(errors))


@jax.jit
def _posed(topology, vertices, reflectances, codes, crops):
    """Points of B surfaces, and the crops' colours at them."""
    points = jax.vmap(lambda *each: form_points_of(topology, *each[:2], code=each[2]))(vertices, reflectances, codes)
    return points, jax.vmap(sample_bilinear)(crops, points.pixels)


def _for_each(surfaces, count):
    return (np.broadcast_to(part, (count, *part.shape[1:])) for part in surfaces)


def _of_codes(model, codes) -> Surfaces:
    return Surfaces(*map(np.asarray, _decoded(model, codes)))


@jax.jit
def _decoded(model, codes):
    code = leading_reflectance(codes, model.code_sizes)
    vertices = jax.vmap(lambda *parts: geometry(model, *parts))(code.identity, code.expression)
    return vertices, jax.vmap(lambda beta: reflectance(model, beta))(code.reflectance)


def _in_span(model, true: Surfaces) -> Surfaces:
    face = np.asarray(model.regions["face"])
    shapes = np.concatenate([model.identity, model.expression])
    return Surfaces(
        _fitted(np.asarray(model.mean), shapes, true.vertices, face),
        _fitted(np.asarray(model.reflectance_mean), np.asarray(model.reflectance), true.reflectance, face),
    )


def _fitted(mean, modes, targets, members):
    """mean + the modes' combination nearest to each target [B, N, 3] over the members."""
    columns = modes[:, members].reshape(len(modes), -1).T
    wanted = (targets - mean)[:, members].reshape(len(targets), -1).T
    weights = np.linalg.lstsq(columns, wanted, rcond=None)[0]
    return mean + np.einsum("kb,knc->bnc", weights, modes)
