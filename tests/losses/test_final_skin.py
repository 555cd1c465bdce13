"""The losses of the final level's reflectance."""

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.face_model import load_face_model
from fml_jax.losses import known_skin_energy, skin_agreement_energies

MODEL = load_face_model(detail="face")
COUNT = MODEL.vertex_count


def skins(count: int = 4):
    return jnp.asarray(np.random.default_rng(0).random((count, COUNT, 3)), jnp.float32)


def plain_distance(a, b):
    """Slow and readable: the mean distance over the face, without the mean difference over the skin."""
    face, skin = (np.asarray(MODEL.regions[name], bool) for name in ("face", "skin"))
    gaps = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    gaps -= gaps[skin].mean(axis=0)
    return np.mean([np.sqrt(gap @ gap) for gap in gaps[face]])


def test_the_distance_from_a_known_reflectance_leaves_out_the_tone():
    one, other, *_ = skins()
    found = known_skin_energy(MODEL, one, other)
    np.testing.assert_allclose(found, plain_distance(one, other), rtol=1e-5)
    np.testing.assert_allclose(known_skin_energy(MODEL, one + jnp.array([0.2, -0.1, 0.3]), other), found, rtol=1e-5)
    assert known_skin_energy(MODEL, one, one) < 1e-3


def test_a_shadow_on_one_cheek_counts():
    right = np.asarray(MODEL.mean)[:, 0] < 0
    one = skins(1)[0]
    assert known_skin_energy(MODEL, one * jnp.where(right, 0.8, 1.0)[:, None], one) > 0.05


def test_photos_of_a_person_are_pulled_together_and_others_left():
    people, applies = jnp.array([7, 8, 7, 9]), jnp.ones(4)

    def total(skins):
        return skin_agreement_energies(MODEL, skins, people, applies=applies)[0].sum()

    faces = skins()
    energies, counted = skin_agreement_energies(MODEL, faces, people, applies=applies)
    np.testing.assert_array_equal(counted, [1, 0, 1, 0])
    np.testing.assert_allclose(energies[jnp.array([0, 2])], plain_distance(faces[0], faces[2]), rtol=0.02)
    gradient = jax.grad(total)(faces)
    assert not gradient[jnp.array([1, 3])].any()
    assert total(faces - 3.0 * gradient) < total(faces)


def test_rows_without_a_face_do_not_count():
    people = jnp.array([7, 7, 7, 9])
    energies, counted = skin_agreement_energies(MODEL, skins(), people, applies=jnp.array([1.0, 0.0, 0.0, 1.0]))
    assert not counted.any() and not energies.any()
