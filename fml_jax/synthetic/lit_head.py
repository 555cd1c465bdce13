"""The colours of a head's pixels: by the code's image formation alone, or with what photos show besides."""

import numpy as np
from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.illumination import sh_basis
from fml_jax.synthetic.cast_shadows import sample_edge, shadowed
from fml_jax.synthetic.clothes import dressed
from fml_jax.synthetic.head_raster import HeadRaster
from fml_jax.synthetic.highlights import highlights
from fml_jax.synthetic.random_codes import RandomFace
from fml_jax.synthetic.skin_detail import SkinDetail, chart_places

_WET_SHARPNESS = 120.0  # of highlights on eyes and teeth
_NOSE_AND_LIPS = 1.6  # gloss of these, relative to other skin


def plainly_lit_head(head: HeadRaster, code: FaceCode) -> Float[np.ndarray, "3 P"]:
    """RGB in [0, 1] of the pixels that show the head, as the code's points have them."""
    colours = head.reflectance[head.seen] * _shading(head, code)
    return head.at_pixels(np.clip(colours, 0, 1))


def lit_head(
    rng: np.random.Generator,
    model: BaseModel,
    face: RandomFace,
    *,
    head: HeadRaster,
    detail: SkinDetail,
    cover: Float[np.ndarray, "N"],
    blockers: Float[np.ndarray, "B 3"],
) -> Float[np.ndarray, "3 P"]:
    """RGB of the pixels that show the head, with detail of the skin, clothes, cast shadows and highlights.

    Args:
      detail: of the skin.
      cover: of the head's vertices by hair.
      blockers: points of objects that cast shadows, camera space, mm.
    """
    light, normals = face.light, head.normals[head.seen]
    eyes = np.asarray(model.regions["eyes"])
    bare = np.where(eyes, 0, 1 - cover)
    everything = np.concatenate([head.positions, blockers], dtype=np.float32)
    shade = np.maximum(_shading(head, face.code), 0)
    edge = sample_edge(rng, head.positions, head.normals)
    shade = shadowed(head.positions[head.seen], normals, shade, everything=everything, light=light, edge=edge)
    of_head = np.column_stack([chart_places(model), bare, detail.beard, _gloss(model) * bare, eyes])
    pixels = head.at_pixels(np.column_stack([head.reflectance[head.seen], shade, normals, head.of_seen(of_head)]))
    reflectance, shade, normals, places = pixels[:3], pixels[3:6], pixels[6:9], pixels[9:11]
    bare, beard, gloss, wet = pixels[11:]
    normals = normals / np.maximum(np.sqrt((normals**2).sum(axis=0)), 1e-6)

    reflectance = detail.applied(reflectance, places, beard, bare=bare)
    reflectance = dressed(rng, reflectance, places)
    oily = np.float32(rng.gamma(2.0, 0.035))
    shine = highlights(normals, oily * gloss, rng.uniform(6, 22), light=light)
    glint = np.float32(rng.uniform(0.2, 0.9)) * wet
    on_wet = np.flatnonzero(wet)
    shine[:, on_wet] += highlights(normals[:, on_wet], glint[on_wet], _WET_SHARPNESS, light=light)
    # A highlight is of the light that arrives: none in cast shadows.
    return np.clip(reflectance * shade + shine * np.clip(2 * shade.mean(axis=0), 0, 1), 0, 1)


def _shading(head, code):
    """Of the points that pixels show, [U, 3]."""
    return sh_basis(head.normals[head.seen]).T @ np.asarray(code.illumination)


def _gloss(model):
    """[N] gloss of the skin, relative to cheeks."""
    oily = np.asarray(model.regions["nose"]) | np.asarray(model.regions["lips"])
    return np.where(oily, _NOSE_AND_LIPS, 1.0)
