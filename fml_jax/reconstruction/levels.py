"""A reconstruction at one of its levels, and with another code."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.correctives import Corrections
from fml_jax.ops.modes import weighted_sum_plain
from fml_jax.photos.crops import apply_affine, invert_affine
from fml_jax.reconstruction.decoding import DecodedFace, decode, decode_one, with_corrections
from fml_jax.reconstruction.final_level import FinalLevel


def base_level(face: Any) -> Any:
    """The base level of a `Reconstruction`, under its own light or that which the face was given since."""
    code, final = face.code, face.final_code
    if final is not None and np.array_equal(code.illumination, final.illumination):
        code = code.replace(illumination=final.base.illumination)
    return dataclasses.replace(with_code(face, code), landmark_uncertainty=face.landmark_uncertainty)


def base_surface(face: Any) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 3"]]:
    """Vertices and reflectance of a `Reconstruction`'s base level (eq. 3 and 4), without a compiled program."""

    def summed(weights, modes):
        return weighted_sum_plain(np.asarray(weights), np.asarray(modes))

    model, code = face.model, face.code
    shape = summed(code.identity, model.identity) + summed(code.expression, model.expression)
    skin = np.asarray(model.reflectance_mean) + summed(code.reflectance, model.reflectance)
    return np.asarray(model.mean) + shape, skin


def both_levels(face: Any) -> FaceCode | FinalCode:
    """The codes of a `Reconstruction`'s levels as they are now: its expression or light may have been changed."""
    final = face.final_code
    if final is None:
        return face.code
    return final.replace(base=base_level(face).code, illumination=face.code.illumination)


def with_final_code(face: Any, code: FinalCode, final: FinalLevel) -> Any:
    """The same face of the same photo with another code of both levels.

    Args:
      final: the final level that the code belongs to.
    """
    decoded = jax.device_get(_decoded(face.model, final, code))
    return dataclasses.replace(_shown(face, decoded), code=code.lit, final_code=code)


@jax.jit
def _decoded(model: BaseModel, final: FinalLevel, code: FinalCode) -> DecodedFace:
    return final.face(model, code, decode(model, code.base))


def learned_corrections(face: Any) -> Corrections:
    """F_g(δ_g) and F_r(δ_r) of a `Reconstruction` on all vertices, [N, 3] each; 0 where it has no final level."""
    vertices, skin = base_surface(face)
    return Corrections(face.vertices - vertices, face.reflectance - face.reflectance_corrections - skin)


def with_refitted_base(face: Any, code: FaceCode, learned: Corrections) -> Any:
    """The same face of the same photo with another code of its base level, whose light is that of both levels.

    Args:
      learned: `learned_corrections`, which stay as they are.
    """
    decoded = jax.device_get(_corrected(face.model, code, learned))
    final = face.final_code and face.final_code.replace(base=code, illumination=code.illumination)
    return dataclasses.replace(_shown(face, decoded), code=code, final_code=final)


@jax.jit
def _corrected(model: BaseModel, code: FaceCode, learned: Corrections) -> DecodedFace:
    return with_corrections(model, code, decode(model, code), added=learned)


def with_code(face: Any, code: FaceCode) -> Any:
    """The same face of the same photo with another code of the base level, without corrections."""
    return dataclasses.replace(_shown(face, decode_one(face.model, code)), code=code, final_code=None)


def _shown(face: Any, decoded: DecodedFace) -> Any:
    """The same face of the same photo with decoded arrays, without corrections of single vertices."""
    photo_from_crop = invert_affine(face.crop_from_photo)
    return dataclasses.replace(
        face,
        vertices=np.asarray(decoded.vertices),
        reflectance=np.asarray(decoded.reflectance),
        reflectance_corrections=np.zeros_like(decoded.reflectance),
        landmarks68=apply_affine(photo_from_crop, np.asarray(decoded.landmarks, np.float64)),
        landmark_uncertainty=None,
        projected=apply_affine(photo_from_crop, np.asarray(decoded.projected, np.float64)),
    )
