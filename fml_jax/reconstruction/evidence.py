"""What a network's local stages measure in crops, for fits that share an identity."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import UInt8

from fml_jax.codes import FaceCode, code_from_network, network_from_code
from fml_jax.face_model.base import BaseModel
from fml_jax.fitting.shared_identity import PointEvidence
from fml_jax.image_formation.local_points import POINTS, PointBasis, free_parameters, project_points
from fml_jax.networks.encoders import encode, make_encoder
from fml_jax.networks.local_stages import PIXEL
from fml_jax.ops.arrays import Array
from fml_jax.ops.images import unit_range

# Of networks without local stages: what their own points weigh, and their own code as a prior.
_PLAIN_WHITENING = 0.3  # 1/pixels
_PLAIN_PRECISION = 4.0  # inverse squared units of their output


class Measurement(NamedTuple):
    """A network's answer to B crops, with leading axes B."""

    codes: FaceCode  # without solved colours
    scores: jax.Array  # [B] in [0, 1]
    evidence: PointEvidence
    uncertainty: jax.Array  # [B, 68] crop pixels by which the landmarks are expected to be off


def measure(
    params: dict, model: BaseModel, crops: UInt8[Array, "B 240 240 3"], *, encoder: str, basis: PointBasis
) -> Measurement:
    """Codes of crops and the points that they rest on; pure.

    Args:
      params, encoder: of the network, see `fml_jax.predict`.
      basis: `PointBasis.of(model)`.
    """
    output = encode(make_encoder(encoder, model.code_sizes.total), params, unit_range(crops), basis=basis)
    codes, scores = code_from_network(output.raw, model.code_sizes), jax.nn.sigmoid(output.logits)
    if output.local is None:
        evidence = _plain_evidence(basis, codes)
        return Measurement(codes, scores, evidence, jnp.full((len(crops), 68), 2 / _PLAIN_WHITENING))
    last = params["local"][f"stage_{len(PIXEL) - 1}"]
    points = output.local.points[-1]
    precision = jnp.broadcast_to(jnp.exp(last["precision"]), (len(crops), *last["precision"].shape))
    evidence = PointEvidence(
        points.pixels, points.whitening * jnp.exp(last["weight"] / 2), output.local.prior, precision
    )
    return Measurement(codes, scores, evidence, points.expected_distances[:, :68])


def _plain_evidence(basis: PointBasis, codes: FaceCode) -> PointEvidence:
    """The code's own points, for networks that measure none."""
    pixels = jax.vmap(lambda code: project_points(basis, code).pixels)(codes)
    count = len(pixels)
    whitening = jnp.broadcast_to(_PLAIN_WHITENING * jnp.eye(2), (count, POINTS, 2, 2))
    precision = jnp.full((count, len(free_parameters(basis.sizes))), _PLAIN_PRECISION)
    return PointEvidence(pixels, whitening, network_from_code(codes), precision)
