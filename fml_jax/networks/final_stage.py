"""The last stage: it looks at what the base level leaves unexplained, and predicts the final level's parameters.

It compares the crop with the base level's face at a sample of vertices (`ResidualSample`), and the points that the
local stages measured with those of their last code. The paper predicts δ from the encoder's last features alone, which
describe a crop and not its vertices (`config.correctives.inputs`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float

from fml_jax.codes import LIGHT, FaceCode
from fml_jax.face_model.base import BaseModel, face_rings
from fml_jax.face_model.topology import normals_at
from fml_jax.fitting.colours import colour_weights
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.local_points import POINTS, PointBasis, project_points
from fml_jax.image_formation.occlusion import seen_share
from fml_jax.image_formation.points import seen_by_camera
from fml_jax.networks.encoders import EncoderOutput
from fml_jax.ops.arrays import Array
from fml_jax.ops.products import Dense
from fml_jax.ops.sampling import sample_bilinear

WIDTH = 256  # of the layer that the residuals pass
_STRIDE = 4  # every fourth vertex of the face is compared
_DARKEST = 0.1  # shading by which a residual is divided at least
_UNIT = 0.1  # RGB: one unit of a residual
_LARGEST = 4.0  # units to which a residual is clipped


class ResidualSample(NamedTuple):
    """The vertices at which the crop is compared with the base level's face. A pytree, as `ColourSolver` is."""

    rows: jax.Array  # [S], vertices
    rings: jax.Array  # [W, S], their columns of `face_rings`

    @classmethod
    def of(cls, model: BaseModel) -> "ResidualSample":
        """The sample of a model's face without its eyes."""
        rows = np.flatnonzero(colour_weights(model))[::_STRIDE]
        return cls(*jax.device_put((rows, np.asarray(face_rings(model))[:, rows])))

    def residuals(
        self,
        code: FaceCode,
        vertices: Float[Array, "N 3"],
        reflectances: Float[Array, "N 3"],
        *,
        crop: Float[Array, "240 240 3"],
        known: Float[Array, "60 60"] | None = None,
    ) -> Float[Array, "S 4"]:
        """By how much the crop's reflectance differs from the base level's, and which vertices are seen.

        The crop's reflectance is its colour divided by the base level's shading. Differences are in units of 0.1 RGB,
        clipped to ±4, and 0 where a vertex is not seen; the fourth number is 1 where it is. All four are smaller where
        an object may hide the face.

        Args:
          vertices, reflectances: those of the code's base level.
          crop: RGB in [0, 1].
          known: probabilities that no object hides the face.
        """
        positions = to_camera(vertices, code.rotation, code.translation)
        normals = normals_at(self.rows, self.rings, positions)
        positions = positions[self.rows]
        pixels = project(positions)
        seen = seen_by_camera(positions, normals, pixels).astype(crop.dtype)[:, None]
        if known is not None:
            seen = seen * seen_share(known, pixels)[:, None]
        lit = jnp.maximum(shading(normals, code.illumination), _DARKEST)
        gaps = (sample_bilinear(crop, pixels) / lit - reflectances[self.rows]) / _UNIT
        return jnp.concatenate([seen * jnp.clip(gaps, -_LARGEST, _LARGEST), seen], axis=-1)


def whitened_gaps(gaps: Float[Array, "B P 2"], whitening: Float[Array, "B P 2 2"]) -> Float[Array, "B P 2"]:
    """Distances from the code's points to the measured ones in units of the expected errors, clipped to ±4.

    Args:
      gaps: crop pixels.
      whitening: L of `local_stages.MeasuredPoints`.
    """
    return jnp.clip(jnp.einsum("bpij,bpi->bpj", whitening, gaps), -_LARGEST, _LARGEST)


def unexplained(
    sample: ResidualSample,
    basis: PointBasis | None,
    output: EncoderOutput,
    *,
    base: FaceCode,
    vertices: Float[Array, "B N 3"],
    reflectances: Float[Array, "B N 3"],
    crops: Float[Array, "B 240 240 3"],
) -> Float[Array, "B R"]:
    """What the base level leaves unexplained of B crops: a constant of the optimisation.

    Args:
      basis: the points of the local stages, where the network has them.
      base: the base level's codes.
      vertices, reflectances: of these codes' faces.
      crops: RGB in [0, 1].
    """

    def residuals(code, *face_and_crop):
        vertices, reflectances, crop, known = face_and_crop
        return sample.residuals(code, vertices, reflectances, crop=crop, known=known)

    axes = (0, 0, 0, 0, None if output.known is None else 0)
    parts = [jax.vmap(residuals, in_axes=axes)(base, vertices, reflectances, crops, output.known)]
    if output.local is not None and basis is not None:
        last = output.local.points[-1]
        now = jax.vmap(lambda code: project_points(basis, code).pixels)(base)
        parts.append(whitened_gaps(last.pixels - now, last.whitening))
    return jax.lax.stop_gradient(jnp.concatenate([part.reshape(len(crops), -1) for part in parts], axis=-1))


def residual_count(sample: ResidualSample, basis: PointBasis | None) -> int:
    """R of `unexplained`."""
    return 4 * len(sample.rows) + (0 if basis is None else 2 * POINTS)


def final_layer(sizes: tuple[int, int], residuals: bool) -> nn.Module:
    """The layer of C_g + C_r + 27 outputs: δ_g, δ_r and the final γ's offset.

    Args:
      residuals: it takes `unexplained` as well as the encoder's features.
    """
    outputs = sum(sizes) + LIGHT
    return FinalStage(outputs) if residuals else Dense(outputs, kernel_init=nn.initializers.zeros_init())


class FinalStage(nn.Module):
    """Residuals and the encoder's features → the raw outputs of the final level; at the start all are zero."""

    outputs: int

    @nn.compact
    def __call__(self, features: Float[Array, "B F"], residuals: Float[Array, "B R"]) -> Float[Array, "B outputs"]:
        """
        Args:
          features: the input of the encoder's last layer.
          residuals: of the sampled vertices and points, flattened.
        """
        x = Dense(WIDTH, kernel_init=nn.initializers.lecun_normal(), name="residuals")(residuals)
        x = jnp.concatenate([x, nn.relu(x), features], axis=-1)
        return Dense(self.outputs, kernel_init=nn.initializers.zeros_init(), name="outputs")(x)
