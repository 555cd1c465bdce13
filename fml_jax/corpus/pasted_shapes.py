"""Shapes of no particular object, pasted before faces on the device, with the label maps that they make true.

A network that has only seen objects of a few kinds hidden in front of faces masks few others.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key, UInt8

from fml_jax.corpus.face_labels import FACE, LABEL_SIZE, LIKELY_FACE, OCCLUDER
from fml_jax.ops.arrays import Array
from fml_jax.photos.crops import CROP_SIZE

HIDDEN = (0.05, 0.6)  # share of the known face that a shape hides, least and most
NEAR_SKIN = 0.3  # share of the colours that are similar to the face's
_HARMONICS = 6  # of a blob's outline
_DEPTH = 30.0  # label pixels from a shape's edge to where its shading ends


def with_shapes(
    key: Key[Array, ""],
    crops: Float[Array, "B 240 240 3"],
    labels: UInt8[Array, "B 120 120"],
    *,
    share: float | Float[Array, ""],
) -> tuple[Float[Array, "B 240 240 3"], UInt8[Array, "B 120 120"]]:
    """Crops with a shape before some of their faces, and their label maps.

    Args:
      crops: in [0, 1].
      labels: see `face_labels`. Where no place is known to be the face's, nothing is pasted.
      share: probability of a shape.
    """
    others = jnp.roll(crops, 1, axis=0)[:, ::-1]  # whose pixels are some of the textures
    return jax.vmap(functools.partial(_row, share=share))(jax.random.split(key, len(crops)), crops, labels, others)


def _row(key, crop, labels, other, *, share):
    of_choice, of_reach, of_size, of_texture, of_light = jax.random.split(key, 5)
    face = (labels == FACE) | (labels == OCCLUDER) | (labels == LIKELY_FACE)
    whether = jax.random.bernoulli(of_choice, share) & face.any()
    reach = _reach(of_reach, face)
    size = _size(reach, face, jax.random.uniform(of_size, minval=HIDDEN[0], maxval=HIDDEN[1]))
    soft, shading, shadow, width = jax.random.uniform(of_light, (4,))
    inward = jax.image.resize(size - reach, (CROP_SIZE, CROP_SIZE), "linear")[..., None]  # label pixels from the edge
    opacity = jnp.clip(inward / (0.3 + soft) + 0.5, 0, 1)
    skin = jnp.sum(crop[::2, ::2] * face[..., None], axis=(0, 1)) / jnp.maximum(face.sum(), 1)
    shade = 1 - 0.6 * shading * (1 - jnp.clip(inward / _DEPTH, 0, 1)) ** 2
    shadowed = crop * (1 - 0.5 * shadow * jnp.exp(jnp.minimum(inward, 0) / (1 + 8 * width)))
    pasted = shadowed + opacity * (_texture(of_texture, skin, crop, other) * shade - shadowed)
    hidden = whether & face & (reach < size)
    return jnp.where(whether, pasted, crop), jnp.where(hidden, jnp.uint8(OCCLUDER), labels)


def _reach(key: Key[Array, ""], face: Bool[Array, "120 120"]) -> Float[Array, "120 120"]:
    """How large a shape has to be to hide each place, in label pixels: a blob, a box, a band, or all of one side."""
    of_centre, of_form, of_outline, of_kind = jax.random.split(key, 4)
    centre = jnp.argmax(jnp.where(face, jax.random.uniform(of_centre, face.shape), -1.0))
    row, column = centre // LABEL_SIZE, centre % LABEL_SIZE
    y, x = jnp.meshgrid(jnp.arange(LABEL_SIZE) - row, jnp.arange(LABEL_SIZE) - column, indexing="ij")
    turn, stretch, bend = jax.random.uniform(of_form, (3,))
    cos, sin = jnp.cos(2 * math.pi * turn), jnp.sin(2 * math.pi * turn)
    a, b = cos * x + sin * y, (cos * y - sin * x) * (1 + 1.5 * stretch)
    orders = jnp.arange(1, 1 + _HARMONICS)
    waves = 0.3 / orders * jax.random.normal(of_outline, (2, _HARMONICS))

    def waved(angle):
        angles = angle[..., None] * orders
        return jnp.cos(angles) @ waves[0] + jnp.sin(angles) @ waves[1]

    blob = jnp.hypot(a, b) / jnp.maximum(1 + waved(jnp.arctan2(b, a)), 0.25)
    box = jnp.maximum(jnp.abs(a), jnp.abs(b))
    band = jnp.abs(b + 0.02 * (bend - 0.5) * a**2)
    side = a + 10 * waved(2 * math.pi / LABEL_SIZE * b)
    return jnp.stack([blob, box, band, side])[jax.random.randint(of_kind, (), 0, 4)]


def _size(reach, face, share):
    """The size of which a shape hides this share of the face."""
    within = jnp.sort(jnp.where(face, reach, jnp.inf)[::2, ::2].ravel())
    count = face[::2, ::2].sum()
    return within[jnp.minimum((share * count).astype(jnp.int32), jnp.maximum(count - 1, 0))]


def _texture(key: Key[Array, ""], skin: Float[Array, "3"], crop: Array, other: Array) -> Float[Array, "240 240 3"]:
    """Two colours in stripes or in smooth patches, one colour alone, or pixels of another picture."""
    of_colours, of_likeness, of_skin, of_wave, of_patches, of_kind = jax.random.split(key, 6)
    first, second = jax.random.uniform(of_colours, (2, 3))
    lightness, *hue = jax.random.normal(of_skin, (4,))
    alike = skin * jnp.exp(0.2 * lightness + 0.08 * jnp.stack(hue))
    first, kind = (
        jnp.where(jax.random.uniform(of_kind) < NEAR_SKIN, alike, first),
        jax.random.randint(of_kind, (), 0, 4),
    )
    turn, period, sharpness = jax.random.uniform(of_wave, (3,))
    x, y = jnp.meshgrid(jnp.arange(CROP_SIZE), jnp.arange(CROP_SIZE))
    along = jnp.cos(math.pi * turn) * x + jnp.sin(math.pi * turn) * y
    stripes = jax.nn.sigmoid((1 + 9 * sharpness) * jnp.sin(2 * math.pi * along / (6 + 40 * period)))
    patches = jax.image.resize(jax.random.uniform(of_patches, (12, 12)), (CROP_SIZE, CROP_SIZE), "linear")
    kind = jax.random.randint(of_kind, (), 0, 4)
    share = jnp.stack([jnp.zeros_like(stripes), stripes, patches])[jnp.minimum(kind, 2)][..., None]
    # Objects are as brightly lit as the picture.
    drawn = (first + share * (second - first)) * jnp.clip(2.5 * crop.mean(), 0.1, 1)
    return jnp.where(kind == 3, other, drawn)
