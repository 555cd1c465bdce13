"""Maps of which places of a crop show the face and no object in front of it."""

import jax
from jaxtyping import Float

from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.ops.arrays import Array
from fml_jax.ops.sampling import sample_bilinear

OCCLUSION_SIZE = 60  # places a side; one place is 4×4 pixels of the crop
_PIXELS = CROP_SIZE // OCCLUSION_SIZE


def seen_share(known: Float[Array, "60 60"], pixels: Float[Array, "N 2"]) -> Float[Array, "N"]:
    """The map at pixels of its crop, interpolated; a constant of the optimisation.

    Args:
      known: probabilities that no object hides the face.
    """
    places = (pixels - (_PIXELS - 1) / 2) / _PIXELS
    return jax.lax.stop_gradient(sample_bilinear(known[..., None], places)[:, 0])


def crop_sized(known: Float[Array, "B 60 60"]) -> Float[Array, "B 240 240"]:
    """Maps in their crops' pixels, interpolated."""
    return jax.image.resize(known, (len(known), CROP_SIZE, CROP_SIZE), "linear")
