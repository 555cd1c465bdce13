"""The network as a pure function from crops to faces, and its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode, FinalCode, code_from_network
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.learned import FaceModel
from fml_jax.files import checksum
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.networks.encoders import EncoderOutput, encode, make_encoder
from fml_jax.networks.multilevel import Network, layers
from fml_jax.networks.weights import has_part, load_weights, read_metadata, read_shapes
from fml_jax.ops.arrays import Array
from fml_jax.ops.images import unit_range
from fml_jax.reconstruction.decoding import DecodedFace, solve_and_decode_all
from fml_jax.reconstruction.final_level import FinalLevel, FinalSettings, final_settings
from fml_jax.reconstruction.open_network import OPEN_ENCODER, OPEN_WEIGHTS


class Prediction(NamedTuple):
    """What a network predicts of B crops; every array has the leading axis B."""

    codes: FaceCode  # of the base level
    scores: Array  # [B] in [0, 1]: whether a crop shows a well-framed face
    faces: DecodedFace  # of the final level, where there is one, else of the base level
    landmark_uncertainty: Array | None = None  # [B, 68] crop pixels; None for a network without local stages
    final_codes: FinalCode | None = None  # of both levels; None for a network without a final level
    # [B, 60, 60] in [0, 1]: whether no object hides the face there; None for a network that predicts no occlusion.
    unoccluded: Array | None = None


def predict(
    params: dict,
    model: BaseModel,
    crops: UInt8[Array, "B 240 240 3"] | Float[Array, "B 240 240 3"],
    *,
    encoder: str = OPEN_ENCODER,
    solver: ColourSolver | None = None,
    basis: PointBasis | None = None,
    final: FinalLevel | None = None,
) -> Prediction:
    """The faces in crops: a pure function, to be used under `jax.jit`, `jax.vmap`, `jax.grad` and sharding.

        network = fml_jax.load_network()
        model = fml_jax.load_face_model()
        prediction = jax.jit(fml_jax.predict)(network.params, model, crops)

    No crop's prediction depends on the others of its batch, and the batch may be sharded over devices. It is
    differentiable in all three arguments (crops as floats), so that a network may be trained within another program.

    Args:
      params: the encoder's parameters, as `load_network` has them.
      crops: RGB, uint8, or floats in [0, 1]; cut from photos by `fml_jax.photos.crops`.
      encoder: its name; static under `jax.jit`. `TrainedNetwork.predict` has the right one bound.
      solver: `ColourSolver.of(model)` solves light and reflectance on each crop, as `Reconstructor` does by default;
        None leaves the network's own.
      basis: `PointBasis.of(model)`, which the local stages need; it is computed where it is not given.
      final: `TrainedNetwork.final`; None predicts the base level alone.
    """
    crops = unit_range(crops) if crops.dtype == jnp.uint8 else crops
    basis = PointBasis.of(model) if basis is None and "local" in params else basis
    output = _encoded(params, model, crops, encoder, basis)
    codes = code_from_network(output.raw, model.code_sizes)
    codes, faces = solve_and_decode_all(model, solver, codes, crops=crops, known=output.known)
    final_codes = None
    if final is not None:
        final_codes, faces = final.of_base(model, output, codes, decoded=faces, crops=crops, basis=basis)
    uncertainty = None if output.local is None else output.local.points[-1].expected_distances[:, :68]
    return Prediction(codes, jax.nn.sigmoid(output.logits), faces, uncertainty, final_codes, output.known)


def predict_codes(
    params: dict,
    model: BaseModel,
    crops: UInt8[Array, "B 240 240 3"] | Float[Array, "B 240 240 3"],
    *,
    encoder: str = OPEN_ENCODER,
    basis: PointBasis | None = None,
) -> tuple[FaceCode, Float[Array, "B"]]:
    """Codes and scores alone, without faces; arguments as of `predict`."""
    crops = unit_range(crops) if crops.dtype == jnp.uint8 else crops
    output = _encoded(params, model, crops, encoder, basis)
    return code_from_network(output.raw, model.code_sizes), jax.nn.sigmoid(output.logits)


def _encoded(params, model, crops, encoder, basis) -> EncoderOutput:
    if basis is None and "local" in params:
        basis = PointBasis.of(model)
    return encode(make_encoder(encoder, model.code_sizes.total), params, crops, basis=basis)


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A weights file, read and checked: parameters, and the settings to use them with."""

    params: dict  # of the encoder, as Flax nests them
    encoder: str  # its name, see `fml_jax.networks.encoders.make_encoder`
    version: str  # names the face model, the encoder and the weights' checksum
    metadata: dict  # the file's note: where the weights come from
    final: FinalLevel | None = None  # of networks that have one
    basis: PointBasis | None = None  # of the face model, for networks with local stages

    def predict(
        self,
        params: dict,
        model: BaseModel,
        crops: UInt8[Array, "B 240 240 3"] | Float[Array, "B 240 240 3"],
        *,
        solver: ColourSolver | None = None,
        basis: PointBasis | None = None,
    ) -> Prediction:
        """`fml_jax.predict` with this network's encoder and final level.

        Pure, so that `jax.jit(network.predict)` works.
        """
        return predict(params, model, crops, encoder=self.encoder, solver=solver, basis=basis, final=self.final)

    def face_model(self, model: BaseModel | None = None) -> FaceModel:
        """The learned face model of both levels, on all vertices of its base.

        Args:
          model: the face model of the network; None is the one that the package carries.

        Raises:
          InputError: the network has no final level.
        """
        if self.final is None:
            raise InputError(f"{self.version}: this network has no final level, and so no learned face model")
        return self.final.face_model(load_face_model() if model is None else model)


def expected_shapes(network: Network, settings: FinalSettings | None) -> dict[str, tuple[int, ...]]:
    """The shapes that a network's parameters have in a weights file, by their names there.

    Args:
      settings: what the file notes about the final level, if the network has one.
    """
    expected = flatten_dict(layers(jax.eval_shape(network.init, jax.random.key(0))), sep="/")
    shapes = {name: leaf.shape for name, leaf in expected.items()}
    return shapes | (settings.delta_shapes() if settings else {})


def _shapes_of_alike(path: Path, about: dict) -> dict[str, tuple[int, ...]] | None:
    """The expected shapes of weights of a network such as the package's own, as it has them; None for others."""
    own = read_metadata(OPEN_WEIGHTS)
    alike = all(about.get(name) == own.get(name) for name in ("model", "encoder", "final_level"))
    if not alike or any(has_part(path, part) != has_part(OPEN_WEIGHTS, part) for part in ("local", "final")):
        return None
    return read_shapes(OPEN_WEIGHTS)


def load_network(path: str | Path | None = None, model: BaseModel | None = None) -> TrainedNetwork:
    """Reads a weights file for `predict`.

    Args:
      path: a file that training wrote; None is the network that the package carries.
      model: the face model to be used with it; None is the one that the package carries.

    Raises:
      InputError: the file is no weights file, or is made for another face model or another encoder.
    """
    path, model = Path(OPEN_WEIGHTS if path is None else path), load_face_model() if model is None else model
    about = read_metadata(path)
    if about["model"] != model.name:
        remedy = "give that model (--face_model) or weights that were trained with this one (--weights)"
        raise InputError(f"{path}: made for the face model {about['model']}, not {model.name}; {remedy}")
    try:
        body = make_encoder(about["encoder"], model.code_sizes.total)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    basis = PointBasis.of(model) if has_part(path, "local") else None
    settings = final_settings(path, about, model)
    network = Network(body, basis=basis) if settings is None else settings.network(body, model, basis)
    if path == OPEN_WEIGHTS:
        shapes = None  # a test checks them: to trace a network takes a second
    else:
        shapes = _shapes_of_alike(path, about) or expected_shapes(network, settings)
    params, about = load_weights(path, shapes)
    digest = checksum(path)[:8]
    version = f"{model.name}, {about['encoder']} encoder, weights {digest}"
    final = settings and settings.final_level(network, model, params)
    base = {name: part for name, part in params.items() if name not in ("final", "correctives", "delta")}
    return TrainedNetwork(base, about["encoder"], version, about, final=final, basis=basis)
