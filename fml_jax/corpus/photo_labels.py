"""The label map of a photo, as far as its landmarks determine it; as pure functions, for batches made on the device."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from fml_jax.corpus.face_labels import LABEL_SIZE, LIKELY_BACKGROUND, LIKELY_FACE, UNKNOWN
from fml_jax.ops.arrays import Array
from fml_jax.photos.crops import CROP_SIZE

_OUTLINE = np.r_[0:17, 26:16:-1]  # iBUG's points of the jaw and the brows
_BROWS, _EYES = np.r_[17:27], np.r_[36:48]
_EYE_REACH = 14.0  # crop pixels about the points of the eyes
_INNER, _OUTER = 0.93, 1.3  # sizes of the outline within which a photo most likely shows the face, or may show it


def photo_labels(landmarks: Float[Array, "68 2"], is_face: Array) -> UInt8[Array, "120 120"]:
    """The label map of a photo, as far as its landmarks determine it.

    Within the outline of jaw and brows a photo most likely shows the face; the eyes, where glasses are common, are left
    unknown. Well outside and below the brows it shows something else. Everything else is unknown, the forehead too.
    """
    axis = jnp.arange(LABEL_SIZE) * (CROP_SIZE / LABEL_SIZE) + 0.5
    places = jnp.stack(jnp.meshgrid(axis, axis), axis=-1)
    outline = landmarks[_OUTLINE]
    middle = outline.mean(axis=0)
    gaps = places[:, :, None] - landmarks[_EYES]
    by_an_eye = jnp.min(jnp.sum(gaps**2, axis=-1), axis=-1) < _EYE_REACH**2
    face = within_outline(places, middle + _INNER * (outline - middle)) & ~by_an_eye
    beside = ~within_outline(places, middle + _OUTER * (outline - middle)) & (
        places[..., 1] > landmarks[_BROWS, 1].mean()
    )
    labels = jnp.where(face, LIKELY_FACE, jnp.where(beside, LIKELY_BACKGROUND, UNKNOWN))
    return jnp.where(is_face > 0, labels, UNKNOWN).astype(jnp.uint8)


def within_outline(places: Float[Array, "*batch 2"], outline: Float[Array, "n 2"]) -> Bool[Array, "*batch"]:
    """Whether places lie within a polygon: whether a ray to the right crosses its edges an odd number of times."""
    (x0, y0), (x1, y1) = outline.T, jnp.roll(outline, -1, axis=0).T
    x, y = places[..., :1], places[..., 1:]
    spans = (y0 <= y) != (y1 <= y)
    crossing = x0 + (y - y0) / jnp.where(y1 == y0, 1.0, y1 - y0) * (x1 - x0)
    return jnp.sum(spans & (x < crossing), axis=-1) % 2 == 1
