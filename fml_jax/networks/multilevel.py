"""The network that training works on: an encoder and, where a config asks for it, the final level.

Its parameters are one tree: "encoder"; "final", the layer that says δ_g, δ_r and the final γ; and
"correctives", Θ_g and Θ_r.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fml_jax.codes import FinalCode, code_from_network, final_code_from_network
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.correctives import Corrections, Correctives, init_correctives
from fml_jax.face_model.displacement_subspace import DisplacementSubspace, beyond_base
from fml_jax.image_formation.points import Points, form_final_points, form_points
from fml_jax.networks.encoders import EncoderOutput, encode, make_encoder
from fml_jax.ops.products import Dense

# Corrective spaces by name, with how many ReLU layers each has (supplement, section 3).
KINDS = {"linear": 0, "relu1": 1, "relu2": 2}

SUBSPACES = ("all", "beyond")


@dataclass(frozen=True)
class Network:
    """An encoder, and what the final level adds to it; without correctives there is the base level alone."""

    encoder: nn.Module
    correctives: Correctives | None = None
    sizes: tuple[int, int] = (0, 0)  # C_g, C_r
    mesh: Mesh | None = None  # of the devices that it runs on, where it runs on several
    subspace: DisplacementSubspace | None = None  # that geometry's correctives are confined to, if any

    def init(self, key: jax.Array) -> dict:
        """Fresh parameters; the final level begins as the base level."""
        crops = jnp.zeros((1, 240, 240, 3))
        params = {"encoder": self.encoder.init(key, crops)["params"]}
        if self.correctives is None:
            return params
        for_final, for_correctives = jax.random.split(jax.random.fold_in(key, 1))
        features = encode(self.encoder, params["encoder"], crops).features
        params["final"] = self._final_layer.init(for_final, features)["params"]
        spaces = init_correctives(self.correctives, self.sizes, for_correctives)
        return params | ({"correctives": spaces} if spaces else {})

    def encode(self, params: dict, crops: jax.Array) -> EncoderOutput:
        """The encoder's answer to crops [B, 240, 240, 3] in [0, 1]."""
        return encode(self.encoder, params["encoder"], crops)

    def final_level(self, params: dict, seen: EncoderOutput, model: BaseModel) -> tuple[FinalCode, Corrections]:
        """Both levels' codes [B, …] and what the correctives make of δ, [B, N, 3] each."""
        raw = jnp.concatenate([seen.raw, self.added(params, seen)], axis=-1)
        code = final_code_from_network(raw, self.sizes, model.code_sizes)
        spaces = {"params": params.get("correctives", {})}
        corrections = self.correctives.apply(spaces, code.geometry, code.reflectance)
        if self.subspace is not None:
            corrections = corrections._replace(geometry=jax.vmap(self.subspace.project)(corrections.geometry))
        return code, corrections

    def spaces(self, params: dict) -> dict:
        """Θ as a face model has it: the last map of its geometry already within the subspace."""
        spaces = params.get("correctives", {})
        if self.subspace is None or "geometry" not in spaces:
            return spaces
        own = spaces["geometry"]
        modes = own["modes"].reshape(-1, *own["offset"].shape)
        within = {
            "modes": jax.vmap(self.subspace.project)(modes).reshape(own["modes"].shape),
            "offset": self.subspace.project(own["offset"]),
        }
        return {**spaces, "geometry": {**own, **within}}

    def deltas(self, params: dict, crops: jax.Array) -> jax.Array:
        """(δ_g, δ_r) of crops, [B, C_g + C_r]."""
        return self.added(params, self.encode(params, crops))[:, : sum(self.sizes)]

    def added(self, params: dict, seen: EncoderOutput) -> jax.Array:
        """δ_g, δ_r and the final γ as the network says them, [B, C_g + C_r + 27]."""
        added = self._final_layer.apply({"params": params["final"]}, seen.features)
        if self.mesh is None:
            return added
        # Rows in one piece: else the split of the modes would spread to δ and on to the layer that says it.
        spec = PartitionSpec(PartitionSpec.UNCONSTRAINED, None)
        return jax.lax.with_sharding_constraint(added, NamedSharding(self.mesh, spec))

    @property
    def _final_layer(self):
        return Dense(sum(self.sizes) + 27, kernel_init=nn.initializers.zeros_init())


def make_network(encoder: str, correctives: Mapping, model: BaseModel, mesh: Mesh | None = None) -> Network:
    """The network of a config.

    Args:
      encoder: a name that `make_encoder` knows.
      correctives: `kind` ("none" for the base level alone, "linear", "relu1", "relu2") and the
        numbers of parameters C_g, C_r as `geometry` and `reflectance`, which may be 0; and `subspace`, what the
        geometry's may do: "all" (the paper's, where nothing is said) or "beyond" (`subspace.beyond_base`).

    Raises:
      InputError: an unknown name.
    """
    body = make_encoder(encoder, sum(model.code_sizes) + 33)
    kind = correctives["kind"]
    if kind == "none":
        return Network(body, mesh=mesh)
    if kind not in KINDS:
        raise InputError(f"correctives.kind {kind!r} is unknown; choose one of none, {', '.join(KINDS)}")
    spaces = Correctives(model.vertex_count, KINDS[kind])
    subspace = correctives.get("subspace", "all")
    if subspace not in SUBSPACES:
        raise InputError(f"correctives.subspace {subspace!r} is unknown; choose one of {', '.join(SUBSPACES)}")
    subspace = beyond_base(model) if subspace == "beyond" else None
    return Network(body, spaces, (correctives["geometry"], correctives["reflectance"]), mesh, subspace)


def level_points(network: Network, params: dict, model: BaseModel, crops: jax.Array, level: str) -> dict[str, Points]:
    """What the network sees in crops [B, 240, 240, 3]: the points of "base" and, at level "full", of "final"."""
    seen = network.encode(params, crops)
    base = jax.vmap(lambda raw: form_points(model, code_from_network(raw, *model.code_sizes)))(seen.raw)
    if level != "full":
        return {"base": base}
    final = jax.vmap(lambda code, added: form_final_points(model, code, added))(
        *network.final_level(params, seen, model)
    )
    return {"base": base, "final": final}


def layers(params: dict) -> dict:
    """A network's parameters without the correctives, as weights files name them: the encoder's, "final" beside them.

    Whoever wants the base level alone can take them for an encoder's.
    """
    return params["encoder"] | {name: layer for name, layer in params.items() if name == "final"}
