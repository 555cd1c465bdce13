"""Local stages: they look at a crop where the current code projects points, and move the code to what they see.

Each stage cuts a small patch of the crop about every point of `local_points`, predicts where the point really is and
how certain that is, and updates the code by one Gauss–Newton step (`fitting.point_update`). The mean of the update's
prior is a weighted mean of the encoder's code and of the code of the stage before, whose weights are learned, plus a
shift that the stage predicts from its patches: points alone hardly show depth. Later stages look at smaller patches in
finer pixels. Everything is differentiable, so that the stages are trained by the errors of the updated code as well as
by those of the points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float

from fml_jax.codes import code_from_network, raw_scales
from fml_jax.fitting.point_update import point_update
from fml_jax.image_formation.local_points import POINTS, PointBasis, free_parameters, project_points
from fml_jax.networks.skin_tone import SkinTone, face_colours, with_tone
from fml_jax.ops.arrays import Array
from fml_jax.ops.parameters import GivenParameters
from fml_jax.ops.products import Dense

PATCH = 16  # samples a side of a patch
PIXEL = (3, 2, 1)  # crop pixels a side of a sample, one number a stage
_UNIT = 4.0  # samples: one unit of a predicted displacement, which is bounded by a patch's side
_LARGEST_LOG = 3.0  # of a whitening's diagonal: errors between 1/20 and 20 samples
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_DIFFERENCES = np.stack([[1, 0, 0] - _LUMINANCE, [0, 0, 1] - _LUMINANCE], axis=1)  # red and blue less the luminance
_FLAT = 0.02  # contrast, in [0, 1], up to which a patch is noise
_FIRST_PRECISION = 4.0  # of the encoder's parameters before training: inverse squared units of its output
_FIRST_WEIGHT = 0.03  # of the points against the prior before training; their errors are far from independent


class MeasuredPoints(NamedTuple):
    """What one stage measures; the leading axis B is that of the crops."""

    pixels: jax.Array  # [B, P, 2] crop pixels
    whitening: jax.Array  # [B, P, 2, 2], lower triangular L with L Lᵀ the inverse covariance, 1/pixels

    @property
    def expected_distances(self) -> Float[Array, "B P"]:
        """Crop pixels by which the true points are expected to be off: twice the root mean square of 1/L's axes.

        It is the mean distance under the density of `losses.point_likelihood_energy`, where L has equal axes.
        """
        first, below, second = self.whitening[..., 0, 0], self.whitening[..., 1, 0], self.whitening[..., 1, 1]
        return 2 * jnp.sqrt((first**2 + below**2 + second**2) / 2) / (first * second)


class LocalOutput(NamedTuple):
    """The result of all local stages."""

    stages: tuple[jax.Array, ...]  # [B, K] each: the code after each stage, in the encoder's units
    points: tuple[MeasuredPoints, ...]  # one for each stage
    start: jax.Array  # [B, K], the encoder's output
    prior: jax.Array  # [B, K], the mean of the prior in the last stage's update
    colours: jax.Array  # [B, S, 3], `skin_tone.face_colours` about the last landmarks

    @property
    def raw(self) -> Float[Array, "B K"]:
        """The code after the last stage (`codes.code_from_network`)."""
        return self.stages[-1]


class LocalStages(nn.Module):
    """All stages; see the module's docstring."""

    @nn.compact
    def __call__(self, crops: Float[Array, "B 240 240 3"], raw: Float[Array, "B K"], basis: PointBasis) -> LocalOutput:
        """
        Args:
          crops: RGB in [0, 1].
          raw: the encoder's output.
        """
        start, stages, points = raw, [], []
        for number in range(len(PIXEL)):
            raw, measured, prior = _Stage(number, name=f"stage_{number}")(crops, raw, start, basis)
            stages.append(raw)
            points.append(measured)
        landmarks = jax.vmap(project_points, in_axes=(None, 0))(basis, code_from_network(raw, basis.sizes)).pixels
        colours = jax.lax.stop_gradient(face_colours(crops, landmarks[:, :68]))
        stages[-1] = with_tone(raw, SkinTone(name="skin_tone")(colours, basis.tone_mean), basis)
        return LocalOutput(tuple(stages), tuple(points), start, prior, colours)


class _Stage(nn.Module):
    """Measures the points of the current code and moves the code to them."""

    number: int

    @nn.compact
    def __call__(self, crops, raw, start, basis) -> tuple[Array, MeasuredPoints, Array]:
        free = free_parameters(basis.sizes)
        trust = self.param("trust", nn.initializers.zeros_init(), free.shape)
        precision = self.param("precision", nn.initializers.constant(np.log(_FIRST_PRECISION)), free.shape)
        weight = self.param("weight", nn.initializers.constant(np.log(_FIRST_WEIGHT)), ())
        now = jax.vmap(project_points, in_axes=(None, 0))(basis, code_from_network(raw, basis.sizes))
        patches, middles = look_about(crops, now.pixels, self.number)
        pixel = PIXEL[self.number]
        moved, whitening, shift = _Measurement(len(free))(patches, (now.pixels - middles) / pixel, raw)
        measured = MeasuredPoints(middles + pixel * moved, whitening / pixel)

        def update(jacobian, gaps, whitening, from_prior):
            white = whitening * jnp.exp(weight / 2)
            return point_update(jacobian, gaps, white, precision=jnp.exp(precision), from_prior=from_prior)

        # As in every Gauss–Newton method the derivative of the Jacobian is left out.
        jacobian = jax.lax.stop_gradient(now.jacobian) * raw_scales(basis.sizes)[free]
        # The prior's mean is a weighted mean, with the weight sigmoid(trust) for the code of the stage before and the
        # rest for the encoder's code, plus the shift. `from_prior` is the current code minus the prior's mean.
        from_prior = (1 - jax.nn.sigmoid(trust)) * (raw - start)[:, free] - shift
        change = jax.vmap(update)(jacobian, measured.pixels - now.pixels, measured.whitening, from_prior)
        return raw.at[:, free].add(change), measured, raw.at[:, free].add(-from_prior)


class _Measurement(nn.Module):
    """Measures points in their patches, and predicts the shift of the prior's mean.

    Returns displacements [B, P, 2] from the patches' middles in samples, whitening [B, P, 2, 2] in 1/samples, and the
    shift [B, M] in the encoder's units.

    `offsets` [B, P, 2] are the distances of the current code's points from the middles, in samples; patches lie on
    whole samples. With them the layers can leave a point in its place if its patch shows nothing.
    """

    shifted: int  # M, numbers of the code that the stage may change
    widths: tuple[int, int] = (64, 32)  # of the layers that each point has of its own
    joint: int = 384  # width of the layers that join all points

    @nn.compact
    def __call__(self, patches, offsets, raw) -> tuple[Array, Array, Array]:
        x = patches
        for width in self.widths:
            x = nn.relu(_EachPoint(width)(x))
        joint = jnp.concatenate([x.reshape(len(x), -1), raw], axis=-1)
        for _ in range(2):
            joint = nn.relu(Dense(self.joint, kernel_init=nn.initializers.he_normal())(joint))
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "normal")
        x = jnp.concatenate([x, offsets], axis=-1)
        out = _EachPoint(5, small)(x) + Dense(5 * POINTS, kernel_init=small)(joint).reshape(-1, POINTS, 5)
        shift = Dense(self.shifted, kernel_init=nn.initializers.zeros_init(), name="shift")(joint)
        return PATCH * jnp.tanh(_UNIT / PATCH * out[..., :2]), _lower_triangular(out[..., 2:]), shift


def _lower_triangular(numbers):
    """Matrices [B, P, 2, 2] of three numbers each: two logarithms on the diagonal, and the one below it."""
    diagonal = jnp.exp(jnp.clip(numbers[..., :2], -_LARGEST_LOG, _LARGEST_LOG))
    first = jnp.stack([diagonal[..., 0], jnp.zeros_like(diagonal[..., 0])], axis=-1)
    second = jnp.stack([numbers[..., 2], diagonal[..., 1]], axis=-1)
    return jnp.stack([first, second], axis=-2)


class _EachPoint(GivenParameters, nn.Module):
    """A linear layer with its own weights for each point: [B, P, I] → [B, P, O]."""

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(
        2.0, "fan_in", "normal", in_axis=1, out_axis=2, batch_axis=0
    )

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (x.shape[1], x.shape[2], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[1], self.features))
        return jnp.einsum("bpi,pio->bpo", x, kernel) + bias


def look_about(
    crops: Float[Array, "B 240 240 3"], pixels: Float[Array, "B P 2"], stage: int
) -> tuple[Float[Array, "B P samples"], Float[Array, "B P 2"]]:
    """Patches about points, and the patches' middles in crop pixels.

    A patch lies on whole samples, so that nothing is interpolated, and within the crop. It has the luminance of each
    sample and, as in JPEG files, two differences of colours for four samples together: lips and skin can be equally
    bright. Its mean colour is taken away and its contrast made equal, so that it hardly depends on the light. No
    gradient flows to the points.

    Args:
      crops: RGB in [0, 1].
      stage: its samples have `PIXEL[stage]` crop pixels a side.
    """
    pixel = PIXEL[stage]
    image = _coarser(crops, pixel)
    middles = (jax.lax.stop_gradient(pixels) - (pixel - 1) / 2) / pixel  # in samples
    corners = jnp.round(middles - (PATCH - 1) / 2).astype(jnp.int32)
    corners = jnp.clip(corners, 0, image.shape[1] - PATCH)

    def cut(image, corner):
        return jax.lax.dynamic_slice(image, (corner[1], corner[0], 0), (PATCH, PATCH, 3))

    patches = jax.vmap(jax.vmap(cut, in_axes=(None, 0)))(image, corners)
    patches = patches - patches.mean(axis=(2, 3), keepdims=True)
    grey = patches @ _LUMINANCE
    red_and_blue = (_coarser(patches, 2) @ _DIFFERENCES).reshape(*corners.shape[:2], -1)
    contrast = jnp.sqrt((grey**2).mean(axis=(2, 3)) + _FLAT**2)[..., None]
    samples = jnp.concatenate([grey.reshape(*corners.shape[:2], -1), red_and_blue], axis=-1) / contrast
    return samples, (corners + (PATCH - 1) / 2) * pixel + (pixel - 1) / 2


def _coarser(images, pixel):
    """Images [..., rows, columns, 3] in samples of `pixel` pixels a side.

    Written as sums of strided slices, which XLA's CPU backend computes faster than reductions.
    """
    parts = [images[..., row::pixel, column::pixel, :] for row in range(pixel) for column in range(pixel)]
    return sum(parts) / len(parts)
