"""Encoders: 240×240 crops → the numbers of a FaceCode and a score, one pure function of (params, crops).

No encoder keeps batch statistics or draws random numbers, so a face's code never depends on what
else is in its batch. Weights start with He's variance; the last layer starts almost at zero, so
that an untrained encoder predicts the neutral face (`codes.code_from_network`) and the descent
starts with a face in the picture.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.errors import InputError
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.networks.layers import Conv, doubled
from fml_jax.networks.local_stages import LocalOutput, LocalStages
from fml_jax.networks.occlusion import OcclusionHead, unoccluded
from fml_jax.ops.arrays import Array
from fml_jax.ops.convolution import convolve
from fml_jax.ops.images import halve
from fml_jax.ops.products import Dense

_HE = nn.initializers.he_normal()

# Standard deviation of an untrained encoder's outputs, in units of `codes.code_from_network`.
_INITIAL_OUTPUT = 0.01

# Points whose positions the light encoder predicts; `losses.supervised.keypoint_pixels` defines them.
KEYPOINTS = 100
CROP_MIDDLE = (CROP_SIZE - 1) / 2


def make_encoder(name: str, code_size: int) -> nn.Module:
    """An encoder by name, to be used as `encoder.apply({"params": params}, crops)`.

    `crops` is [B, 240, 240, 3] in [0, 1]; the result is (raw [B, code_size], score_logit [B]).

    Args:
      name: "light" (trains on CPUs), "deep" (the package's, trained on a GPU), "alexnet" (the paper's) or "vggface".
      code_size: length of the code, `model.code_sizes.total` of the face model in use.

    Raises:
      InputError: no encoder has that name.
    """
    if name not in ENCODERS:
        raise InputError(f"encoder {name!r} is unknown; choose one of {', '.join(ENCODERS)}")
    return ENCODERS[name](code_size)


def predicts_occlusion(name: str) -> bool:
    """Whether the encoder of that name has an occlusion head; arguments and errors as of `make_encoder`."""
    return getattr(make_encoder(name, 1), "occlusion", False)


class BaseAnswers(NamedTuple):
    """What the base level makes of an encoder's output, before the final level."""

    code: FaceCode  # [B, …], with solved colours where they are solved
    residuals: jax.Array | None  # [B, R] of `final_stage.unexplained`; None where the final level does not look at them


class EncoderOutput(NamedTuple):
    """What an encoder computes from a batch of crops."""

    raw: jax.Array  # [B, code_size], see `codes.code_from_network`
    logits: jax.Array  # [B], the crops' scores before the sigmoid
    features: jax.Array  # [B, F], the input of its last layer, which further layers may share
    keypoints: jax.Array | None  # [B, KEYPOINTS, 2] crop pixels; None for encoders without keypoints
    occlusion: jax.Array | None = None  # [B, 60, 60, 3] logits of `face_labels`; None for encoders that predict none
    local: LocalOutput | None = None  # of the local stages, where the parameters have any; `raw` is theirs then
    base: BaseAnswers | None = None  # where they were computed before (`Network.with_base`)

    @property
    def known(self) -> jax.Array | None:
        """Probabilities that no object hides the face, [B, 60, 60]; None for encoders that predict no occlusion."""
        return None if self.occlusion is None else unoccluded(self.occlusion)


def encode(
    encoder: nn.Module, params: dict, crops: Float[Array, "B 240 240 3"], *, basis: PointBasis | None = None
) -> EncoderOutput:
    """Applies an encoder to crops (RGB in [0, 1]), and the local stages where the parameters have them as "local".

    Args:
      params: as Flax nests them, without the collection's name "params".
      basis: `PointBasis.of` the face model; local stages need it.
    """
    (raw, logits), variables = encoder.apply({"params": params}, crops, mutable=["intermediates"])
    sown = variables["intermediates"]
    further = (sown.get(name, (None,))[0] for name in ("keypoints", "occlusion"))
    output = EncoderOutput(raw, logits, sown["features"][0], *further)
    if "local" not in params:
        return output
    assert basis is not None, "local stages need the points of the face model"
    local: Any = LocalStages().apply({"params": params["local"]}, crops, raw, basis)
    return output._replace(raw=local.raw, local=local)


class AlexNet(nn.Module):
    """The paper's encoder: AlexNet (Krizhevsky et al. 2012) whose last layer outputs the code.

    The paper does not specify its modification of AlexNet. Here: the input is 240 pixels wide instead of
    227, which the layers also reduce to 6×6×256; local response normalisation and dropout
    are left out (neither helps a regression, and dropout would make it random); convolutions 2, 4
    and 5 keep their two groups, written as two convolutions of half the width.
    """

    code_size: int

    @nn.compact
    def __call__(self, crops: Float[Array, "B 240 240 3"]) -> tuple[Float[Array, "B code"], Float[Array, "B"]]:
        x = _convolved(_normalised(crops), 96, 11, stride=4, padding="VALID")
        x = nn.max_pool(x, (3, 3), (2, 2))
        x = nn.max_pool(_in_two_groups(x, 256, 5), (3, 3), (2, 2))
        x = _convolved(x, 384, 3)
        x = _in_two_groups(x, 384, 3)
        x = nn.max_pool(_in_two_groups(x, 256, 3), (3, 3), (2, 2))
        return _fully_connected_head(self, x)


class VggFace(nn.Module):
    """VGG-Face (Parkhi et al. 2015): VGG-16's layers; at 240 pixels its last map is 7×7×512 as at 224."""

    code_size: int

    @nn.compact
    def __call__(self, crops: Float[Array, "B 240 240 3"]) -> tuple[Float[Array, "B code"], Float[Array, "B"]]:
        x = _normalised(crops)
        for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(depth):
                x = _convolved(x, width, 3)
            x = nn.max_pool(x, (2, 2), (2, 2))
        return _fully_connected_head(self, x)


class LightEncoder(nn.Module):
    """A residual network for CPUs: 240 → 120 by averages of 2×2, then maps of 30, 15 and 8.

    The shapes follow XLA's speed on CPUs: an 8×8 stem of stride 4 and 2×2 convolutions between
    stages cost next to nothing, 3×3 convolutions run fastest on maps of 15 and 8, depthwise and
    1×1 ones on large maps are as slow as full ones.

    The code is computed from two inputs: the last map place by place, and `KEYPOINTS` positions in the
    crop, each the mean of a learned distribution over the map of 30. Pose and shape depend almost
    linearly on these positions, and training supervises them directly: they are
    returned as `EncoderOutput.keypoints`, [B, KEYPOINTS, 2] in pixels of the crop.

    With `occlusion` it also predicts which pixels show the face and which an occluder (networks/occlusion.py).
    """

    code_size: int
    widths: Sequence[int] = (32, 96, 160)
    depths: Sequence[int] = (1, 1, 1)
    places: int = 48  # channels to which the last map is reduced for the head
    hidden: int = 512  # width of the head's one hidden layer
    occlusion: bool = False

    @nn.compact
    def __call__(self, crops: Float[Array, "B 240 240 3"]) -> tuple[Float[Array, "B code"], Float[Array, "B"]]:
        picture = x = _normalised(halve(crops))
        maps = []
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            kernel, stride = (2, 2) if stage else (8, 4)
            x = Conv(width, (kernel, kernel), (stride, stride))(x)
            for _ in range(depth):
                x = _Residual(width)(x)
            maps.append(x)
        keypoints = _Keypoints(KEYPOINTS)(maps[0], maps[1])
        self.sow("intermediates", "keypoints", keypoints)
        if self.occlusion:
            self.sow("intermediates", "occlusion", OcclusionHead(name="occlusion_head")(picture, maps))
        positions = _flattened(keypoints - CROP_MIDDLE) / 50
        x = _flattened(_convolved(nn.relu(x), self.places, 1))
        x = nn.relu(Dense(self.hidden, kernel_init=_HE)(jnp.concatenate([x, positions], axis=-1)))
        return output_layers(self, jnp.concatenate([x, positions], axis=-1))


class _Keypoints(nn.Module):
    """Positions in the crop, pixels: means of distributions over the fine map, computed from both maps."""

    count: int
    width: int = 64  # channels from which the distributions are computed

    @nn.compact
    def __call__(self, fine, coarse):
        fine = Conv(self.width, (1, 1))(fine)
        x = nn.relu(fine + doubled(Conv(4 * self.width, (1, 1))(coarse)))
        heat = Conv(self.count, (1, 1))(x)
        batch, side = heat.shape[:2]
        heat = heat.reshape(batch, side * side, self.count)
        share = jnp.exp(heat - jax.lax.stop_gradient(heat.max(axis=1, keepdims=True)))
        # One product gives both the weighted positions and the softmax's denominator: twice as fast as a softmax.
        sums = jnp.einsum("bpk,pc->bkc", share, _homogeneous(_cell_centres(side)))
        return sums[..., :2] / sums[..., 2:]


class _Residual(nn.Module):
    """x + s ⊙ f(x) with two 3×3 convolutions in f and a learned scale s per channel.

    The normalisation is over a face's own map, in f only: the skip connection keeps the picture's
    brightness, which the illumination depends on.
    """

    width: int

    @nn.compact
    def __call__(self, x):
        y = nn.GroupNorm(num_groups=None, group_size=8)(x)
        y = Conv(self.width, (3, 3))(nn.relu(y))
        y = Conv(self.width, (3, 3))(nn.relu(y))
        scale = self.param("scale", nn.initializers.constant(0.3), (self.width,))
        return x + scale * y


def _normalised(crops):
    return (crops - 0.5) / 0.25


def _convolved(x, width, kernel, stride=1, padding="SAME", alone=True):
    by = functools.partial(convolve, alone=alone)
    x = Conv(width, (kernel, kernel), (stride, stride), padding, conv_general_dilated=by)(x)
    return nn.relu(x)


def _cell_centres(side):
    """Centres of the cells of a map over the crop, [side², 2] pixels (x, y)."""
    centres = (np.arange(side) + 0.5) * (CROP_SIZE / side) - 0.5
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2).astype(np.float32)


def _homogeneous(points):
    return np.concatenate([points, np.ones((len(points), 1), np.float32)], axis=1)


def _in_two_groups(x, width, kernel):
    """A convolution in two groups: one of half the width on each half of the channels.

    XLA's CPU backend takes about three times as long with `feature_group_count=2`.
    """
    halves = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([_convolved(half, width // 2, kernel, alone=False) for half in halves], axis=-1)


def _flattened(x):
    return x.reshape(x.shape[0], -1)


def _fully_connected_head(encoder, x):
    x = _flattened(x)
    for _ in range(2):  # fc6 and fc7
        x = nn.relu(Dense(4096, kernel_init=_HE)(x))
    return output_layers(encoder, x)


def output_layers(
    encoder: nn.Module, features: Float[Array, "B F"]
) -> tuple[Float[Array, "B code"], Float[Array, "B"]]:
    """The last layers of every encoder, called within its `__call__`: (raw code, score logit)."""
    encoder.sow("intermediates", "features", features)
    small = nn.initializers.variance_scaling(_INITIAL_OUTPUT**2, "fan_in", "normal")
    raw = Dense(encoder.code_size, kernel_init=small, name="code")(features)
    logit = Dense(1, kernel_init=small, name="score")(features)
    return raw, logit[:, 0]


# About five times the light encoder's operations, half of AlexNet's.
_Deep = functools.partial(LightEncoder, widths=(48, 128, 256), depths=(2, 2, 2), occlusion=True)

ENCODERS: dict[str, Callable[[int], nn.Module]] = {
    "light": LightEncoder,
    "deep": _Deep,
    "alexnet": AlexNet,
    "vggface": VggFace,
}
