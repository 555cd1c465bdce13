"""Puts occluders before a face, such that they hide some of it and not too much."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode
from fml_jax.image_formation.illumination import shading
from fml_jax.synthetic.backgrounds import photo_border
from fml_jax.synthetic.hair import Hair, draw_locks
from fml_jax.synthetic.head_raster import HeadRaster
from fml_jax.synthetic.light import Light
from fml_jax.synthetic.occluders.blobs import make_blob, noise_texture
from fml_jax.synthetic.occluders.kinds import SURFACES
from fml_jax.synthetic.occluders.layers import Layer, draw_layer, laid_over, seen_surface
from fml_jax.synthetic.occluders.wearer import Wearer

_SHARES = (0.01, 0.5)  # of the face that occluders hide, least and most
_BLOBS = (0.04, 0.45)  # of the face that blobs hide
_TRIES = 4
_LOCKS = 0.7  # share of the faces with hair over them on which loose locks hang, too


@dataclass(frozen=True)
class Setting:
    """What occluders depend on."""

    wearer: Wearer
    code: FaceCode
    light: Light
    head: HeadRaster
    hair: Hair
    photos: list[UInt8[np.ndarray, "h w 3"]] | None  # for the texture of some blobs


@dataclass(frozen=True)
class Before:
    """The occluders before a face."""

    kinds: tuple[str, ...]
    layers: tuple[Layer, ...]  # from back to front
    hidden: Float[np.ndarray, "240 240"]  # opacity of all of them together, hair on the mesh included
    positions: Float[np.ndarray, "B 3"]  # points on the surfaces, camera space, mm

    def over(self, picture: Float[np.ndarray, "240 240 3"]) -> Float[np.ndarray, "240 240 3"]:
        """The picture with the occluders in front of it."""
        for layer in self.layers:
            picture = laid_over(picture, layer)
        return picture


def place_occluders(rng: np.random.Generator, kinds: Sequence[str], setting: Setting) -> Before:
    """Occluders of some kinds.

    They are drawn anew where they hide too little or too much of the face; after a few tries there are none but hair.
    """
    for _ in range(_TRIES if kinds else 0):
        before = _drawn(rng, kinds, setting)
        if _SHARES[0] <= hidden_share(before.hidden, setting.head) <= _SHARES[1]:
            return before
    return _drawn(rng, [kind for kind in kinds if kind == "hair"], setting)


def hidden_share(hidden: Float[np.ndarray, "240 240"], head: HeadRaster) -> float:
    """The share of the face's pixels that are hidden."""
    return float(hidden[head.face].mean()) if head.face.any() else 0.0


def _drawn(rng, kinds, setting: Setting) -> Before:
    layers, positions = [], [np.zeros((0, 3))]
    if "hair" in kinds and rng.random() < _LOCKS:
        layers.append(_locks(rng, setting))
    for kind, make in SURFACES.items():
        if kind in kinds:
            seen = seen_surface(make(rng, setting.wearer), setting.code, setting.light)
            layers.append(draw_layer(seen, setting.head.depth))
            positions.append(seen.positions[seen.surface.opacity > 0.5])
    if "blobs" in kinds and setting.head.face.any():
        share = float(np.exp(rng.uniform(*np.log(_BLOBS))))
        layers.append(make_blob(rng, setting.head.face, share, texture=_texture(rng, setting.photos)))
    clear = 1 - setting.head.cover
    for layer in layers:
        clear = clear * (1 - layer.opacity)
    return Before(tuple(kinds), tuple(layers), 1 - clear, np.concatenate(positions))


def _texture(rng, photos):
    """A blob's texture: none, noise, or a piece of a photo."""
    kind = rng.choice(["plain", "noise", "photo"], p=[0.3, 0.35, 0.35])
    if kind == "photo" and photos:
        return photo_border(rng, photos)
    return None if kind == "plain" else noise_texture(rng)


def _locks(rng, setting: Setting) -> Layer:
    head = setting.head
    seen = head.seen[: np.searchsorted(head.seen, len(setting.wearer.vertices))]
    reflectance = head.reflectance[seen]
    colour = reflectance * shading(head.normals[seen], setting.light.gamma)
    lit = colour.mean(axis=0) / np.maximum(reflectance.mean(axis=0), 0.02)
    return draw_locks(
        rng, setting.wearer, setting.code, hair=setting.hair, shade=np.clip(lit, 0.05, 2), depth=head.depth
    )
