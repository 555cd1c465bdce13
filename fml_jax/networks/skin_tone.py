"""Skin tone: the mean reflectance of a face's skin, predicted from the colours of its parts.

One photo shows products of reflectance and light. Their ratio is decided by what a person also compares: skin with the
whites of the eyes, with lips, brows and hair, its colour, and the depth of its shadows. The encoder sees the whole crop
and follows its exposure instead. Here colours are sampled about the landmarks of the predicted face; training changes
the exposure at random, and only renders have a true tone (`losses.skin_tone`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float

from fml_jax.codes import code_from_network, network_from_code
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.ops.arrays import Array
from fml_jax.ops.images import halve
from fml_jax.ops.products import Dense
from fml_jax.ops.sampling import sample_bilinear

_DARK = 0.02  # added to colours before their logarithm: differences below it are noise
_MIDDLE, _SPREAD = -0.9, 0.6  # of the logarithms, so that layers see numbers of order 1
_SPREAD_OF_TONES = 0.15  # RGB: the unit of the output
_LEAST, _MOST = 0.08, 0.85  # RGB, between which tones are predicted
_SAMPLES_ACROSS_EYE, _SAMPLES_DOWN_EYE = 8, 4
_EXTREMES = 4  # samples of an eye whose mean counts as its white, and as its pupil
_PRIOR = 5e-5  # squared RGB, of a unit of β, against the mean squared difference from a multiple of the reflectance
_SLIGHT = 1e-6  # keeps the change of reflectance finite for models with fewer than three modes


def _places() -> Float[np.ndarray, "S 68"]:
    """The sampled places as weights of the 68 landmarks: skin, lips, brows, hair, and what is beside and below."""
    point = np.eye(68)

    def mean(*points):
        return point[list(points)].mean(axis=0)

    def on_line(start, end, *shares):
        return [start + share * (end - start) for share in shares]

    right_eye, left_eye = mean(*range(36, 42)), mean(*range(42, 48))
    right_brow, left_brow = mean(*range(17, 22)), mean(*range(22, 27))
    between_eyes, chin = (right_eye + left_eye) / 2, point[8]
    across, down = point[16] - point[0], chin - between_eyes
    cheeks = [(right_eye, point[48]), (left_eye, point[54]), (point[31], point[2]), (point[35], point[14])]
    cheeks += [(point[48], point[4]), (point[54], point[12])]
    places = [place for start, end in cheeks for place in on_line(start, end, 0.3, 0.5, 0.7)]
    foreheads = [on_line(eye, brow, 1.5, 1.9, 2.3) for eye, brow in ((right_eye, right_brow), (left_eye, left_brow))]
    places += [*foreheads[0], *foreheads[1], *np.mean(foreheads, axis=0)]
    places += [mean(*points) for points in ((27,), (28,), (29,), (30,), (31, 33, 35), (33, 51))]
    places += [mean(*points) for points in ((8, 57), (6, 8, 57), (8, 10, 57))]
    lips = ((49, 59, 60), (51, 62), (57, 66), (53, 55, 64), (50, 61), (52, 63), (58, 67), (56, 65))
    brows = ((18, 19), (19, 20), (20, 21), (22, 23), (23, 24), (24, 25))
    places += [mean(*points) for points in (*lips, *brows)]
    places += [start - share * down for share in (0.75, 0.95, 1.2) for start in (between_eyes, point[17], point[26])]
    places += [point[0] - 0.15 * across, point[16] + 0.15 * across, point[2] - 0.2 * across, point[14] + 0.2 * across]
    places += [chin + 0.2 * down, chin + 0.4 * down, point[6] + 0.3 * down, point[10] + 0.3 * down]
    return np.array(places, np.float32)


def _eye_places() -> Float[np.ndarray, "2 E 68"]:
    """A grid of places over each eye, as weights of the landmarks."""
    point = np.eye(68)
    eyes = []
    for corner in (36, 42):
        top, bottom = point[[corner + 1, corner + 2]].mean(axis=0), point[[corner + 4, corner + 5]].mean(axis=0)
        grid = []
        for along in np.linspace(0.15, 0.85, _SAMPLES_ACROSS_EYE):
            middle = point[corner] + along * (point[corner + 3] - point[corner])
            reach = np.sqrt(1 - abs(2 * along - 1))  # lids meet at the corners
            grid += [middle + reach * down * (bottom - top) for down in np.linspace(-0.5, 0.4, _SAMPLES_DOWN_EYE)]
        eyes.append(grid)
    return np.array(eyes, np.float32)


_PLACES, _EYE_PLACES = _places(), _eye_places()
COLOURS = len(_PLACES) + 6  # of a face: those of the places, and three of each eye


def face_colours(crops: Float[Array, "B 240 240 3"], landmarks: Float[Array, "B 68 2"]) -> Float[Array, "B S 3"]:
    """The crops' colours at the parts of faces, and the brightest, the darkest and the middle ones of each eye.

    Args:
      crops: RGB in [0, 1].
      landmarks: crop pixels.
    """
    fine = halve(crops)
    coarse = halve(halve(fine))
    parts = jax.vmap(sample_bilinear)(coarse, (jnp.einsum("sk,bkc->bsc", _PLACES, landmarks) - 3.5) / 8)
    in_eyes = (jnp.einsum("sk,bkc->bsc", _EYE_PLACES.reshape(-1, 68), landmarks) - 0.5) / 2
    eyes = jax.vmap(sample_bilinear)(fine, in_eyes).reshape(len(crops), 2, -1, 3)
    eyes = jnp.sort(eyes, axis=2)
    middle = eyes.shape[2] // 2 - _EXTREMES // 2
    ranges = (slice(-_EXTREMES, None), slice(0, _EXTREMES), slice(middle, middle + _EXTREMES))
    levels = [eyes[:, :, each].mean(axis=2) for each in ranges]
    return jnp.concatenate([parts, *levels], axis=1)


class SkinTone(nn.Module):
    """Predicts the skin's mean reflectance from the colours of a face's parts."""

    widths: tuple[int, ...] = (48, 24)

    @nn.compact
    def __call__(self, colours: Float[Array, "B S 3"], mean: Float[Array, "3"]) -> Float[Array, "B 3"]:
        """
        Args:
          colours: as `face_colours` samples them.
          mean: the tone of the face model's mean, which an untrained layer predicts.
        """
        x = (jnp.log(colours + _DARK) - _MIDDLE) / _SPREAD
        x = x.reshape(len(x), -1)
        for width in self.widths:
            x = nn.relu(Dense(width, kernel_init=nn.initializers.he_normal())(x))
        change = Dense(3, kernel_init=nn.initializers.zeros_init())(x)
        return jnp.clip(mean + _SPREAD_OF_TONES * change, _LEAST, _MOST)


def with_tone(raw: Float[Array, "B K"], tone: Float[Array, "B 3"], basis: PointBasis) -> Float[Array, "B K"]:
    """Codes, in the encoder's units, whose skin has a given mean reflectance and whose faces look the same.

    The light changes by a factor for each channel, and the reflectance of the whole face by its inverse, as far as the
    modes allow: otherwise brows would be too dark beside brighter skin.
    """
    codes = code_from_network(raw, basis.sizes)
    change = jax.vmap(lambda beta, aim: _tone_change(beta, aim, basis))(codes.reflectance, tone)
    reflectance = codes.reflectance + change
    factors = jnp.maximum(basis.tone(codes.reflectance), _LEAST) / jnp.maximum(basis.tone(reflectance), _LEAST)
    lit = codes.illumination * factors[:, None]
    return network_from_code(codes.replace(reflectance=reflectance, illumination=lit))


def _tone_change(beta: Float[Array, "K"], tone: Float[Array, "3"], basis: PointBasis) -> Float[Array, "K"]:
    """The change of β that brings the skin to a tone, and the face nearest to a multiple of its reflectance.

    Cholesky factors, since ONNX files can compute these.
    """
    growth = tone / jnp.maximum(basis.tone(beta), _LEAST) - 1
    normal = basis.mode_products.sum(axis=0) + _PRIOR * jnp.eye(len(beta))
    right = growth @ (basis.mode_means + basis.mode_products @ beta)
    solved = jax.scipy.linalg.solve(normal, jnp.concatenate([right[:, None], basis.tone_modes], axis=1), assume_a="pos")
    nearest, directions = solved[:, 0], solved[:, 1:]
    gram = basis.tone_modes.T @ directions + _SLIGHT * jnp.eye(3)
    missing = tone - basis.tone(beta + nearest)
    return nearest + directions @ jax.scipy.linalg.solve(gram, missing, assume_a="pos")
