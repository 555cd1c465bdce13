"""Compares reconstruction on JAX's default device with the CPU's results, and times it.

    python -m benchmarks.accelerator [--encoders=light,alexnet,vggface] [--batches=1,32,256]
    python -m benchmarks.accelerator --encoders=light --batches=1,32    # on a CPU

The first table has the largest differences of the shipped network's codes and of the decoded faces from the CPU's in
full precision, over crops of one photo: with the device's default float32 products (TF32 on NVIDIA GPUs) and in full
precision. The second table has median milliseconds of the network, of decoding, and of decoding with solved colours.
Crops and results stay on the device: the times exclude detection, cropping and copies. Faces are not detected, so the
benchmark also runs where OpenCV has no cascades.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from skimage import data

from benchmarks.timing import in_turn
from fml_jax.codes import code_from_network
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_face_model
from fml_jax.fitting.colours import ColourSolver
from fml_jax.networks.encoders import make_encoder
from fml_jax.networks.weights import load_weights
from fml_jax.ops.images import unit_range
from fml_jax.photos.crops import crop_from_photo, crop_photo, jitter_affine
from fml_jax.reconstruction.decoding import solve_and_decode_all
from fml_jax.reconstruction.open_network import OPEN_WEIGHTS

_ENCODERS = flags.DEFINE_list("encoders", ["light", "alexnet", "vggface"], "Encoders to time, with random weights.")
_BATCHES = flags.DEFINE_list("batches", ["1", "32", "256"], "Crops that go through the network together.")
_REPEATS = flags.DEFINE_integer("repeats", 20, "Rounds, after one that is not counted.", lower_bound=3)

CROPS = 32  # that answers are compared on
ASTRONAUT = (176.5, 65.5, 273.5, 162.5)  # the photo's face, as a detector frames it


def main(_):
    device = jax.devices()[0]
    print(f"JAX {jax.__version__} on {device.device_kind}")
    model = load_face_model()
    solver = ColourSolver.of(model)
    _print_agreement(model, solver, device)
    for name in _ENCODERS.value:
        for batch in map(int, _BATCHES.value):
            _print_times(model, solver, name, batch)


def _print_agreement(model: BaseModel, solver: ColourSolver, device: jax.Device) -> None:
    codes, true = _answers(model, solver, None, jax.devices("cpu")[0], "highest")
    for precision in ("default", "highest"):
        own, decoded = _answers(model, solver, codes, device, precision)
        rows = {
            "identity, standard deviations": (own.identity, codes.identity),
            "expression, standard deviations": (own.expression, codes.expression),
            "rotation, radians": (own.rotation, codes.rotation),
            "vertices, mm": (decoded.vertices, true.vertices),
            "projected, pixels": (decoded.projected, true.projected),
            "solved reflectance, RGB": (decoded.reflectance, true.reflectance),
        }
        print(f"largest differences from the CPU, precision {precision}:")
        for name, (a, b) in rows.items():
            print(f"  {name:34}{np.abs(a - b).max():.1e}")


def _answers(model, solver, codes, device, precision):
    """The network's codes on a device, and these (or given ones, so that faults do not add up) decoded there."""
    params, about = load_weights(OPEN_WEIGHTS)
    encoder = make_encoder(about["encoder"], model.code_sizes.total)

    @jax.jit
    def network(params, crops):
        raw, _ = encoder.apply({"params": params}, unit_range(crops))
        return code_from_network(raw, model.code_sizes)

    with jax.default_device(device), jax.default_matmul_precision(precision):
        crops = jax.device_put(_crops(), device)
        found = jax.device_get(network(jax.device_put(params, device), crops))
        parts = jax.device_put((model, solver, found if codes is None else codes), device)
        return found, jax.device_get(solve_and_decode_all(*parts, crops=crops / 255.0)[1])


def _print_times(model: BaseModel, solver: ColourSolver, name: str, batch: int) -> None:
    encoder = make_encoder(name, model.code_sizes.total)
    params = jax.jit(encoder.init)(jax.random.key(0), jnp.zeros((1, 240, 240, 3)))["params"]

    @jax.jit
    def network(params, crops):
        raw, _ = encoder.apply({"params": params}, unit_range(crops))
        return code_from_network(raw, model.code_sizes)

    crops = jax.device_put(np.resize(_crops(), (batch, 240, 240, 3)))
    codes, floats = network(params, crops), crops / 255.0
    stages = {
        "network": lambda: network(params, crops),
        "decoding": lambda: solve_and_decode_all(model, None, codes, crops=floats),
        "colours and decoding": lambda: solve_and_decode_all(model, solver, codes, crops=floats),
    }
    times = in_turn(stages, _REPEATS.value)
    both = times["network"] + times["colours and decoding"]
    told = ", ".join(f"{stage} {1e3 * seconds:.2f} ms" for stage, seconds in times.items())
    print(
        f"{name}, batches of {batch}: {told}; {batch / times['network']:.0f} codes, {batch / both:.0f} faces a second"
    )


def _crops() -> np.ndarray:
    """[CROPS, 240, 240, 3] uint8, framed a little differently each."""
    photo, rng = data.astronaut(), np.random.default_rng(0)
    affines = [jitter_affine(crop_from_photo(ASTRONAUT), rng) for _ in range(CROPS)]
    return np.stack([crop_photo(photo, affine) for affine in affines])


if __name__ == "__main__":
    app.run(main)
