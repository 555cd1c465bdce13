"""Fits the face model to one photo by gradient descent, with the package's pure functions alone.

    python examples/fit_photo.py photo.jpg

Prints the energy of the network's prediction and of the fit (eq. 6).
"""

import sys

import jax
import jax.numpy as jnp
import optax

import fml_jax
from fml_jax.codes import code_from_network, network_from_code
from fml_jax.fitting.energy import WEIGHTS
from fml_jax.losses import Observation, base_energy
from fml_jax.photos.crops import apply_affine


def fit(path: str, steps: int = 40) -> tuple[float, float, fml_jax.FaceCode]:
    """The energy (eq. 6) of the network's prediction, that after the fit, and the fitted code."""
    model = fml_jax.load_face_model(detail="face")
    face = fml_jax.Reconstructor()(path)[0]
    crop = jnp.asarray(face.render("photo"), jnp.float32) / 255
    landmarks = jnp.asarray(apply_affine(face.crop_from_photo, face.landmarks68), jnp.float32)
    observation = Observation(crop, landmarks, jnp.full(68, 0.1))  # the network's landmarks, with little confidence

    def energy(raw):  # the code's 257 numbers, each of order 1
        return base_energy(model, code_from_network(raw, model.code_sizes), observation, weights=WEIGHTS)[0]

    raw = start = network_from_code(face.code)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    state, gradient = optimizer.init(start), jax.jit(jax.grad(energy))
    for _ in range(steps):
        updates, state = optimizer.update(gradient(raw), state)
        raw = optax.apply_updates(raw, updates)
    return float(energy(start)), float(energy(raw)), code_from_network(raw, model.code_sizes)


if __name__ == "__main__":
    before, after, code = fit(sys.argv[1])
    print(f"energy {before:.0f} → {after:.0f}; rotation {code.rotation}")
