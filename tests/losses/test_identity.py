"""Photos of one person are pulled together, and apart from others'."""

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.face_model.base import geometry
from fml_jax.losses import identity_distances, identity_energies
from tests.tiny_face import random_code

EVERYONE = jnp.ones(4)
PEOPLE = jnp.array([0, 0, 1, 2])


def test_distances_are_those_of_neutral_faces(tiny_model):
    rng = np.random.default_rng(0)
    codes = [random_code(tiny_model, rng) for _ in range(3)]
    found = identity_distances(tiny_model, jnp.stack([code.identity for code in codes]))
    faces = [np.asarray(geometry(tiny_model, code.identity, 0 * code.expression))[::4] for code in codes]
    for i in range(3):
        for j in range(3):
            expected = np.mean(np.sum((faces[i] - faces[j]) ** 2, axis=1))
            np.testing.assert_allclose(found[i, j], expected, rtol=1e-3, atol=1e-3)


def test_the_loss_is_the_negative_log_of_the_share_of_ones_own_photos():
    distances = jnp.asarray(np.random.default_rng(1).uniform(0.2, 3, (4, 4)).astype(np.float32))
    energies, counted = identity_energies(distances, PEOPLE, EVERYONE)
    nearness = np.exp(-np.asarray(distances, np.float64))
    np.testing.assert_allclose(energies[0], -np.log(nearness[0, 1] / nearness[0, 1:].sum()), rtol=1e-4)
    assert counted.tolist() == [1, 1, 0, 0] and energies[2] == energies[3] == 0


def test_a_crop_without_a_face_is_nobodys_other_photo():
    distances = jnp.ones((4, 4))
    energies, counted = identity_energies(distances, PEOPLE, jnp.array([1.0, 0, 1, 1]))
    assert not counted.any() and not energies.any()


def test_descent_brings_a_person_together(tiny_model):
    identity = jnp.asarray(np.random.default_rng(2).normal(size=(4, len(tiny_model.identity))), jnp.float32)

    def loss(identity):
        return identity_energies(identity_distances(tiny_model, identity), PEOPLE, EVERYONE)[0].sum()

    def ratio(identity):
        distances = identity_distances(tiny_model, identity)
        return distances[0, 1] / distances[0, 2:].mean()

    stepped, gradient = identity, jax.jit(jax.grad(loss))
    for _ in range(20):
        stepped = stepped - 0.05 * gradient(stepped)
    assert ratio(stepped) < 0.7 * ratio(identity)
