"""The network that training optimises: an encoder and, if the config has one, the final level.

Its parameters are one tree: "encoder"; "local", the local stages; "final", the layer that outputs δ_g, δ_r and the
final γ; and "correctives", Θ_g and Θ_r.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from fml_jax.codes import FaceCode, FinalCode, code_from_network, final_code_from_network
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.face_model.correctives import (
    GEOMETRY_SPREAD,
    REFLECTANCE_SPREAD,
    Corrections,
    Correctives,
    init_correctives,
)
from fml_jax.face_model.displacement_subspace import DisplacementSubspace, ToneSubspace, beyond_base
from fml_jax.face_model.harmonics import harmonic_modes
from fml_jax.face_model.placement import Ends
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.image_formation.points import Points, form_final_points, form_points
from fml_jax.losses.invariance import ShapeDifferences
from fml_jax.networks.encoders import BaseAnswers, EncoderOutput, encode, make_encoder
from fml_jax.networks.final_stage import ResidualSample, final_layer, residual_count, unexplained
from fml_jax.networks.local_stages import LocalStages
from fml_jax.ops.arrays import Array

# Corrective spaces by name, with how many ReLU layers each has (supplement, section 3).
KINDS = {"linear": 0, "relu1": 1, "relu2": 2}


PARTS = ("local", "final", "correctives")  # of a network's parameters, beside the encoder


class Subspaces(NamedTuple):
    """Where the corrections of geometry and of reflectance lie; fields as of `Corrections`."""

    geometry: DisplacementSubspace
    reflectance: ToneSubspace


@dataclass(frozen=True)
class CorrectivesConfig:
    """The final level of a network."""

    kind: Literal["none", "linear", "relu1", "relu2"] = "none"  # "none" is the base level alone
    geometry: int = field(default=0, metadata={"least": 0})  # C_g, how many parameters the space has
    reflectance: int = field(default=0, metadata={"least": 0})  # C_r
    # To what corrections are confined: "all" is nothing, as in the paper; "beyond" is what the base level cannot
    # represent of geometry (`displacement_subspace.beyond_base`), and no other skin tone (`ToneSubspace`).
    # Corrections then end at the face's outline as those of reconstructed faces do (`placement.Ends`).
    subspace: Literal["all", "beyond"] = "all"
    # From what δ and the final γ are predicted: the encoder's features, as in the paper, or these and what the base
    # level leaves unexplained of the crop (networks/final_stage.py).
    inputs: Literal["features", "residuals"] = "features"
    # How linear modes begin: as small random vectors, or as manifold harmonics, with which the paper compares learned
    # modes; those that are to stay harmonics take a learning rate of 0.
    modes: Literal["random", "harmonics"] = "random"


@dataclass(frozen=True)
class Network:
    """An encoder, and the final level's layer and corrective spaces; without correctives only the base level."""

    encoder: nn.Module
    correctives: Correctives | None = None
    sizes: tuple[int, int] = (0, 0)  # C_g, C_r
    mesh: Mesh | None = None  # the devices, if there are several
    subspaces: Subspaces | None = None  # to which corrections are projected, if any
    ends: Ends | None = None  # where they end, after that; None leaves them as they are
    basis: PointBasis | None = None  # the points of the local stages; None for a network without them
    solver: ColourSolver | None = None  # solves the base level's colours on each crop; None leaves the encoder's
    sample: ResidualSample | None = None  # where the final level looks at residuals; None where it does not
    first_modes: dict | None = None  # with which corrective modes begin, [C, 3 N] by space; None is at random
    shape_differences: ShapeDifferences | None = (
        None  # of shapes, for the loss of invariance; None where it has no weight
    )
    masks: bool = True  # what the encoder takes for an object before the face is left out of photometric terms

    def init(self, key: jax.Array) -> dict:
        """Fresh parameters; the final level begins as the base level."""
        crops = jnp.zeros((1, 240, 240, 3))
        params = {"encoder": self.encoder.init(key, crops)["params"]}
        if self.basis is not None:
            raw = jnp.zeros((1, self.basis.sizes.total))
            params["local"] = LocalStages().init(jax.random.fold_in(key, 2), crops, raw, self.basis)["params"]
        if self.correctives is None:
            return params
        for_final, for_correctives = jax.random.split(jax.random.fold_in(key, 1))
        features = encode(self.encoder, params["encoder"], crops).features
        inputs = [features]
        if self.sample is not None:
            inputs.append(jnp.zeros((1, residual_count(self.sample, self.basis))))
        params["final"] = self._final_layer.init(for_final, *inputs)["params"]
        spaces = init_correctives(self.correctives, self.sizes, for_correctives)
        for name, modes in (self.first_modes or {}).items():
            spaces[name] = {**spaces[name], "modes": modes}
        return params | ({"correctives": spaces} if spaces else {})

    def encode(self, params: dict, crops: Float[Array, "B 240 240 3"]) -> EncoderOutput:
        """The encoder's output for crops, RGB in [0, 1]."""
        local = {"local": params["local"]} if self.basis is not None else {}
        output = encode(self.encoder, params["encoder"] | local, crops, basis=self.basis)
        return output if self.masks else output._replace(occlusion=None)

    def base_level(self, output: EncoderOutput, model: BaseModel, crops: Float[Array, "B 240 240 3"]) -> FaceCode:
        """The base level's codes [B, …].

        Solved colours are constants of the optimisation: at the minimum of E_photo over them its derivative by the
        geometry is that for fixed colours.
        """
        codes = code_from_network(output.raw, model.code_sizes)
        if self.solver is None:
            return codes
        constant: FaceCode = jax.lax.stop_gradient(codes)
        vertices = jax.vmap(lambda code: geometry(model, code.identity, code.expression))(constant)
        known, solver = jax.lax.stop_gradient(output.known), self.solver

        def solve(code, vertices, crop, known):
            return solver.solve(code, vertices, crop, known=known)

        axes = (0, 0, 0, None if known is None else 0)
        solved = jax.vmap(solve, in_axes=axes)(constant, vertices, crops, known)
        return codes.replace(illumination=solved.illumination, reflectance=solved.reflectance)

    def with_base(self, output: EncoderOutput, model: BaseModel, crops: Float[Array, "B 240 240 3"]) -> EncoderOutput:
        """The output with the base level's answers, which `final_level` then takes instead of computing them."""
        return output._replace(base=self._base_answers(output, model, crops))

    def final_level(
        self, params: dict, output: EncoderOutput, model: BaseModel, *, crops: Float[Array, "B 240 240 3"]
    ) -> tuple[FinalCode, Corrections]:
        """Both levels' codes [B, …] and the corrections F_g(δ_g) and F_r(δ_r), [B, N, 3] each (eq. 1 and 2)."""
        known = self._base_answers(output, model, crops) if output.base is None else output.base
        base, residuals = known
        outputs = self.final_level_outputs(params, output, residuals)
        code = final_code_from_network(base, outputs, self.sizes)
        assert self.correctives is not None, "a network without correctives has no final level"
        spaces = {"params": params.get("correctives", {})}
        corrections: Any = self.correctives.apply(spaces, code.geometry, code.reflectance)
        if self.subspaces is not None:
            projected = {name: jax.vmap(space.project) for name, space in self.subspaces._asdict().items()}
            corrections = Corrections(
                **{name: project(getattr(corrections, name)) for name, project in projected.items()}
            )
        if self.ends is not None:
            corrections = jax.vmap(self.ends.of_head)(corrections)
        return code, corrections

    def corrective_spaces(self, params: dict) -> dict:
        """Θ in the layout of a face model, without `ends`; its last maps are projected to the subspaces."""
        spaces = params.get("correctives", {})
        if self.subspaces is None:
            return spaces

        def within(space, own):
            modes = jax.vmap(space.project)(own["modes"].reshape(-1, *own["offset"].shape))
            return {**own, "modes": modes.reshape(own["modes"].shape), "offset": space.project(own["offset"])}

        return {name: within(getattr(self.subspaces, name), own) for name, own in spaces.items()}

    def final_level_outputs(
        self, params: dict, output: EncoderOutput, residuals: Float[Array, "B R"] | None = None
    ) -> Float[Array, "B outputs"]:
        """δ_g, δ_r and the final γ as raw outputs of the final layer, C_g + C_r + 27 of them.

        Args:
          residuals: what `final_stage.unexplained` returns, for a layer that looks at it.
        """
        inputs = (output.features,) if residuals is None else (output.features, residuals)
        outputs = self._final_layer.apply({"params": params["final"]}, *inputs)
        if self.mesh is None:
            return outputs
        # Rows are not split: otherwise the sharding of the modes would propagate to δ and to the layer before it.
        spec = PartitionSpec(PartitionSpec.UNCONSTRAINED, None)
        return jax.lax.with_sharding_constraint(outputs, NamedSharding(self.mesh, spec))

    def _base_answers(self, output: EncoderOutput, model: BaseModel, crops) -> BaseAnswers:
        base = self.base_level(output, model, crops)
        return BaseAnswers(base, self._unexplained(output, model, base, crops))

    def _unexplained(self, output: EncoderOutput, model: BaseModel, base: FaceCode, crops) -> Array | None:
        if self.sample is None:
            return None
        vertices = jax.vmap(lambda code: geometry(model, code.identity, code.expression))(base)
        skin = jax.vmap(lambda code: reflectance(model, code.reflectance))(base)
        return unexplained(
            self.sample, self.basis, output, base=base, vertices=vertices, reflectances=skin, crops=crops
        )

    @property
    def _final_layer(self) -> nn.Module:
        return final_layer(self.sizes, self.sample is not None)


def make_network(
    encoder: str,
    correctives: CorrectivesConfig,
    model: BaseModel,
    *,
    local_stages: bool = False,
    solve_colours: bool = False,
    masks: bool = True,
    invariance: bool = False,
    mesh: Mesh | None = None,
) -> Network:
    """The network that a config describes.

    Args:
      encoder: a name that `make_encoder` knows.
      local_stages: with the stages of `local_stages` after the encoder.
      solve_colours: the base level's light and reflectance are solved on each crop (`fitting.colours`).
      masks: see `Network`.
      invariance: the network is trained with `losses.invariance`.
      mesh: the devices, if there are several.

    Raises:
      InputError: an unknown name; modes that begin as harmonics after layers of their own.
    """
    body = make_encoder(encoder, model.code_sizes.total)
    basis = PointBasis.of(model) if local_stages else None
    solver = ColourSolver.of(model) if solve_colours else None
    differences = ShapeDifferences.of(model) if invariance else None
    if correctives.kind == "none":
        return Network(body, mesh=mesh, basis=basis, solver=solver, shape_differences=differences, masks=masks)
    if correctives.kind not in KINDS:
        raise InputError(f"correctives.kind {correctives.kind!r} is unknown; choose one of none, {', '.join(KINDS)}")
    if correctives.modes == "harmonics" and KINDS[correctives.kind]:
        raise InputError(f"correctives.modes=harmonics with kind {correctives.kind}: give kind=linear")
    spaces = Correctives(model.vertex_count, KINDS[correctives.kind])
    beyond = correctives.subspace == "beyond"
    subspaces = Subspaces(beyond_base(model), ToneSubspace.of(model)) if beyond else None
    ends = Ends.of(model) if beyond else None
    sizes = correctives.geometry, correctives.reflectance
    sample = ResidualSample.of(model) if correctives.inputs == "residuals" else None
    return Network(
        body,
        spaces,
        sizes,
        mesh,
        subspaces=subspaces,
        ends=ends,
        basis=basis,
        solver=solver,
        sample=sample,
        first_modes=_harmonics(model, sizes) if correctives.modes == "harmonics" else None,
        shape_differences=differences,
        masks=masks,
    )


def _harmonics(model: BaseModel, sizes: tuple[int, int]) -> dict[str, np.ndarray]:
    """Manifold harmonics of the mean face as the modes of both spaces, as strong as random ones."""
    mesh = np.asarray(model.mean), np.asarray(model.topology.triangles)
    spreads = {"geometry": GEOMETRY_SPREAD, "reflectance": REFLECTANCE_SPREAD}
    return {
        name: harmonic_modes(*mesh, count, spread=spread)
        for (name, spread), count in zip(spreads.items(), sizes, strict=True)
        if count
    }


def level_points(
    network: Network, params: dict, model: BaseModel, *, crops: Float[Array, "B 240 240 3"], level: str
) -> dict[str, Points]:
    """The points of the faces predicted of crops (RGB in [0, 1]): "base" and, at level "full", "final"."""
    output = network.encode(params, crops)
    base = jax.vmap(form_points, in_axes=(None, 0))(model, network.base_level(output, model, crops))
    if level != "full":
        return {"base": base}
    code, corrections = network.final_level(params, output, model, crops=crops)
    return {"base": base, "final": jax.vmap(form_final_points, in_axes=(None, 0, 0))(model, code, corrections)}


def layers(params: dict) -> dict:
    """A network's parameters in the layout of weights files: the encoder's, and the other parts beside them.

    For the base level alone they can be used as an encoder's parameters.
    """
    return params["encoder"] | {name: layer for name, layer in params.items() if name in PARTS}
