"""The final level of trained weights: from the base level's face to the corrected one."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import linen as nn
from flax import struct
from jaxtyping import Float

from fml_jax.codes import FaceCode, FinalCode, final_code_from_network, neutral_code
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, kept_vertices
from fml_jax.face_model.correctives import Corrections, Correctives
from fml_jax.face_model.learned import FaceModel
from fml_jax.face_model.placement import Ends
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.networks.encoders import EncoderOutput
from fml_jax.networks.final_stage import ResidualSample, final_layer, unexplained
from fml_jax.networks.multilevel import KINDS, Network
from fml_jax.networks.weights import DELTA_FACTOR, DELTA_MEAN, has_part
from fml_jax.ops.arrays import Array
from fml_jax.reconstruction.decoding import DecodedFace, projected_face


class FinalLevel(struct.PyTreeNode):
    """A trained final level on the mesh of a face model."""

    layer: dict  # parameters of the network's last layer
    spaces: dict  # Θ_g and Θ_r, of V vertices
    rows: Array  # [V], which of the model's vertices these are
    ends: Ends  # of corrections, on all vertices
    delta_mean: Array  # [C_g + C_r], of the faces of training
    delta_factor: Array  # [C_g + C_r, C_g + C_r], square root of the covariance
    sample: ResidualSample | None
    sizes: tuple[int, int] = struct.field(pytree_node=False)  # C_g, C_r
    nonlinearities: int = struct.field(pytree_node=False)

    def of_base(
        self,
        model: BaseModel,
        output: EncoderOutput,
        base: FaceCode,
        *,
        decoded: DecodedFace,
        crops: Float[Array, "B 240 240 3"],
        basis: PointBasis | None,
    ) -> tuple[FinalCode, DecodedFace]:
        """Both levels' codes, and the final level's faces.

        Args:
          base, decoded: the base level's codes and faces, with the leading axis B.
          crops: RGB in [0, 1].
          basis: the points of local stages, where the network has them.
        """
        inputs = [output.features]
        if self.sample is not None:
            vertices, skin = decoded.vertices, decoded.reflectance
            inputs.append(
                unexplained(self.sample, basis, output, base=base, vertices=vertices, reflectances=skin, crops=crops)
            )
        raw = final_layer(self.sizes, self.sample is not None).apply({"params": self.layer}, *inputs)
        code = final_code_from_network(base, jnp.asarray(raw), self.sizes)
        return code, jax.vmap(self.face, in_axes=(None, 0, 0))(model, code, decoded)

    def face(self, model: BaseModel, code: FinalCode, base: DecodedFace) -> DecodedFace:
        """One final face from its base level (eq. 1 and 2)."""
        added = self.corrections(code)
        vertices, skin = base.vertices + added.geometry, base.reflectance + added.reflectance
        return projected_face(model, code.lit, vertices, reflectances=skin)

    def corrections(self, code: FinalCode) -> Corrections:
        """F_g(δ_g) and F_r(δ_r) of all vertices, [N, 3] each."""
        correctives = Correctives(len(self.rows), self.nonlinearities)
        added: Any = correctives.apply({"params": self.spaces}, code.geometry, code.reflectance)
        return self.ends.of_head(added)

    @jax.jit
    def corrected(
        self, model: BaseModel, geometry: Float[Array, "geometry"], reflectance: Float[Array, "reflectance"]
    ) -> BaseModel:
        """The model of all faces that have these δ: eq. 1 and 2 add to its means what no other parameter changes."""
        neutral = neutral_code(model.code_sizes)
        added = self.corrections(FinalCode(neutral, geometry, reflectance, neutral.illumination))
        return model.replace(
            mean=model.mean + added.geometry, reflectance_mean=model.reflectance_mean + added.reflectance
        )

    def face_model(self, base: BaseModel) -> FaceModel:
        """The learned face model on all vertices of its base."""

        def on_all(space, placed):
            modes = jax.vmap(placed)(space["modes"].reshape(-1, len(self.rows), 3))
            return {**space, "modes": modes.reshape(len(modes), -1), "offset": placed(space["offset"])}

        placed = {"geometry": self.ends.moves.placed, "reflectance": self.ends.skin.completed}
        spaces = {name: on_all(space, placed[name]) for name, space in self.spaces.items()}
        return FaceModel(base, spaces, self.delta_mean, self.delta_factor, nonlinearities=self.nonlinearities)


class FinalSettings(NamedTuple):
    """What a weights file notes about its final level."""

    rows: np.ndarray  # [V], the vertices of the face model that it corrects
    sizes: tuple[int, int]  # C_g, C_r
    nonlinearities: int
    looks_at_residuals: bool

    def network(self, encoder: nn.Module, model: BaseModel, basis: PointBasis | None) -> Network:
        """The network that has such a final level."""
        sample = ResidualSample.of(model) if self.looks_at_residuals else None
        correctives = Correctives(len(self.rows), self.nonlinearities)
        return Network(encoder, correctives, self.sizes, basis=basis, sample=sample)

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the statistics of δ, by their names in a weights file."""
        return {DELTA_MEAN: (sum(self.sizes),), DELTA_FACTOR: (sum(self.sizes),) * 2}

    def final_level(self, network: Network, model: BaseModel, params: dict) -> FinalLevel:
        """The final level of parameters as `load_weights` returns them."""
        return FinalLevel(
            layer=params["final"],
            spaces=params.get("correctives", {}),
            rows=jax.device_put(self.rows),
            ends=Ends.of(model, self.rows),
            delta_mean=params["delta"]["mean"],
            delta_factor=params["delta"]["factor"],
            sample=network.sample,
            sizes=self.sizes,
            nonlinearities=self.nonlinearities,
        )


def final_settings(path: Path, about: dict, model: BaseModel) -> FinalSettings | None:
    """The settings of a weights file's final level; None where it has none that can be used, which a warning states.

    Args:
      about: the file's metadata.
      model: the face model that the file was made for, at its standard detail.

    Raises:
      InputError: the settings are damaged.
    """
    if not has_part(path, "final"):
        return None
    noted = about.get("final_level")
    if noted is None:
        logging.warning("%s: its final level cannot be used, as its correctives are not in it; train anew", path)
        return None
    try:
        kind, detail, looks = noted["kind"], noted["detail"], noted["inputs"] == "residuals"
        sizes, layers = (int(noted["geometry"]), int(noted["reflectance"])), KINDS[kind]
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{path}: its note on its final level is damaged; train anew") from None
    rows = _rows(model, detail)
    if rows is None:
        logging.warning("%s: its final level was trained at detail %s; faces show its base level", path, detail)
        return None
    return FinalSettings(rows, sizes, layers, looks)


def _rows(model: BaseModel, detail: object) -> np.ndarray | None:
    """The model's vertices that a network of a detail corrects; None for vertices that the model does not have."""
    if detail == "standard" or (detail == "fine" and model.has_one_mesh):
        return np.arange(model.vertex_count)
    return kept_vertices(model, np.asarray(model.regions["face"])) if detail == "face" else None
