"""The loss of invariance: distances of shapes and of mirrored shapes, and the changes of pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import neutral_code
from fml_jax.corpus.device_augmentation import STRONGEST_BLUR, harmless_change
from fml_jax.face_model import load_face_model
from fml_jax.face_model.base import geometry
from fml_jax.face_model.mirror import Mirror
from fml_jax.losses import ShapeDifferences, invariance_energy


@pytest.fixture(scope="module")
def model():
    return load_face_model(detail="face")


@pytest.fixture(scope="module")
def differences(model):
    return ShapeDifferences.of(model)


def random_code(model, seed):
    rng, sizes = np.random.default_rng(seed), model.code_sizes
    identity, expression = (
        jnp.asarray(rng.normal(0, 0.5, size), jnp.float32) for size in (sizes.identity, sizes.expression)
    )
    return neutral_code(sizes).replace(identity=identity, expression=expression)


def distance(model, first, second):
    """Mean squared, over all compared vertices."""
    members = np.asarray(model.regions["face"]) & ~np.asarray(model.regions["eyes"])
    return np.mean(np.sum((first - second)[members] ** 2, axis=1))


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_energy_is_the_mean_squared_distance_of_whole_and_neutral_shapes(model, differences, mirrored):
    codes = random_code(model, 1), random_code(model, 2)
    neutral = [code.replace(expression=jnp.zeros_like(code.expression)) for code in codes]
    mirror = Mirror(model) if mirrored else np.asarray

    def shapes(pair):
        return [np.asarray(geometry(model, code.identity, code.expression)) for code in pair]

    expected = [distance(model, one, mirror(other)) for one, other in map(shapes, (codes, neutral))]
    found = invariance_energy(differences, *codes, mirrored=jnp.array(mirrored))
    np.testing.assert_allclose(found, np.mean(expected), rtol=0.02)  # every second vertex counts


def test_a_face_is_at_no_distance_from_itself_and_the_mean_face_hardly_from_its_mirror_image(model, differences):
    code = random_code(model, 3)
    assert invariance_energy(differences, code, code, mirrored=jnp.array(False)) < 1e-3
    assert invariance_energy(differences, code, code, mirrored=jnp.array(True)) > 0.1  # a random face is not symmetric
    mean = neutral_code(model.code_sizes)
    assert invariance_energy(differences, mean, mean, mirrored=jnp.array(True)) < 0.1


def test_pictures_are_mirrored_or_blurred_or_neither():
    crop = jnp.asarray(np.random.default_rng(0).random((240, 240, 3)), jnp.float32)
    changed, mirrored = jax.vmap(harmless_change, in_axes=(0, None))(jax.random.split(jax.random.key(0), 40), crop)
    contrast = np.asarray(changed).std(axis=(1, 2, 3)) / np.asarray(crop).std()
    assert 20 < np.sum(mirrored) < 36 and 20 < np.sum(contrast < 0.9) < 36
    sharp = np.flatnonzero(contrast > 0.99)
    for each in sharp:
        np.testing.assert_allclose(changed[each], crop[:, ::-1] if mirrored[each] else crop, atol=1e-5)
    # White noise blurred by a Gaussian keeps 1 / (2 √π σ) of its deviation.
    assert contrast.min() > 0.9 / (2 * np.sqrt(np.pi) * STRONGEST_BLUR)
