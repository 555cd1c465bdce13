"""The network and the face model's decoder as ONNX files, for programs without JAX or Python."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import onnx
from jaxtyping import Float

from fml_jax.codes import FinalCode, flatten_code, unflatten_code
from fml_jax.export.onnx.translation import as_onnx
from fml_jax.face_model.base import BaseModel
from fml_jax.files import complete_or_absent
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.points import form_points_of
from fml_jax.ops.arrays import Array
from fml_jax.reconstruction.decoding import DecodedFace, decode
from fml_jax.reconstruction.prediction import TrainedNetwork

DECODER = "_decoder"  # ends the name of the decoder's file
Arrays = dict[str, jax.Array]
Note = Callable[[], object]


def network_function(
    network: TrainedNetwork, model: BaseModel, *, solve_colours: bool = True
) -> Callable[[Float[Array, "240 240 3"]], Arrays]:
    """What an exported network computes of one crop (RGB in [0, 1]), by name.

    "vertices" [N, 3] mm; "reflectance" and "colours" (lit) [N, 3]; "landmarks" [68, 2] and "projected" [N, 2], crop
    pixels; "code", flat (`codes.flatten_code`), and "delta" (δ_g, δ_r) where there is a final level; and whatever else
    the network predicts as an array, by its field in `Prediction`, such as "scores" and "landmark_uncertainty".

    Args:
      solve_colours: as of `Reconstructor`.
    """
    solver = ColourSolver.of(model) if solve_colours else None

    def predicted(crop: Float[Array, "240 240 3"]) -> Arrays:
        of_batch = network.predict(network.params, model, crop[None], solver=solver)
        prediction: Any = jax.tree.map(lambda array: array[0], of_batch)
        arrays = {name: value for name, value in prediction._asdict().items() if isinstance(value, jax.Array)}
        code = prediction.codes if prediction.final_codes is None else prediction.final_codes
        return arrays | _code_arrays(code) | _face_arrays(model, code, prediction.faces)

    return predicted


def decoder_function(network: TrainedNetwork, model: BaseModel) -> Callable[..., Arrays]:
    """What an exported decoder computes of one code, by name: faces as `network_function` has them.

    It takes "code", and "delta" where the network has a final level.
    """
    final = network.final

    def decoded(code: Float[Array, "code"], delta: Float[Array, "delta"] | None = None) -> Arrays:
        base = unflatten_code(code, model.code_sizes)
        face = decode(model, base)
        if final is None or delta is None:
            return _face_arrays(model, base, face)
        geometry, reflectance = jnp.split(delta, [final.sizes[0]])
        both = FinalCode(base, geometry, reflectance, base.illumination)
        return _face_arrays(model, both, final.face(model, both, face))

    return decoded


def network_as_onnx(
    network: TrainedNetwork, model: BaseModel, *, solve_colours: bool = True, note: Note = lambda: None
) -> onnx.ModelProto:
    """`network_function` for any number of crops: "crops" [batch, 240, 240, 3].

    Args:
      note: called for each operation that is translated.

    Raises:
      InputError: the network has an operation that cannot be translated.
    """
    function = network_function(network, model, solve_colours=solve_colours)
    return as_onnx(function, {"crops": (CROP_SIZE, CROP_SIZE, 3)}, note=note)


def decoder_as_onnx(network: TrainedNetwork, model: BaseModel, *, note: Note = lambda: None) -> onnx.ModelProto:
    """`decoder_function` for any number of codes; arguments and errors as of `network_as_onnx`."""
    inputs = {"code": (model.code_sizes.total,)}
    if network.final is not None:
        inputs["delta"] = (sum(network.final.sizes),)
    return as_onnx(decoder_function(network, model), inputs, note=note)


def write_onnx(path: Path, network: TrainedNetwork, model: BaseModel, *, note: Note = lambda: None) -> list[Path]:
    """Writes NAME.onnx, the network, and NAME_decoder.onnx.

    Raises:
      InputError: as `network_as_onnx`, or a file cannot be written.
    """
    paths = [path, path.with_name(path.stem + DECODER + path.suffix)]
    for target, made in zip(paths, (network_as_onnx, decoder_as_onnx), strict=True):
        content = made(network, model, note=note)
        content.producer_name, content.doc_string = "fml_jax", network.version
        with complete_or_absent(target) as partial:
            partial.write_bytes(content.SerializeToString())
    return paths


def _code_arrays(code: Any) -> Arrays:
    if not isinstance(code, FinalCode):
        return {"code": flatten_code(code)}
    return {"code": flatten_code(code.lit), "delta": jnp.concatenate([code.geometry, code.reflectance])}


def _face_arrays(model: BaseModel, code: Any, face: DecodedFace) -> Arrays:
    lit = code.lit if isinstance(code, FinalCode) else code
    points = form_points_of(model.topology, face.vertices, face.reflectance, code=lit)
    return face._asdict() | {"colours": points.colours}
