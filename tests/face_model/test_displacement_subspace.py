"""The subspace beyond the base level: nothing in it could have been the base level's, and nothing slides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.face_model import load_face_model
from fml_jax.face_model.displacement_subspace import ToneSubspace, along_normals, base_displacements, beyond_base
from fml_jax.face_model.topology import vertex_normals


@pytest.fixture(scope="module")
def model():
    return load_face_model(detail="face")


@pytest.fixture(scope="module")
def subspace(model):
    return beyond_base(model)


@pytest.fixture(scope="module")
def within(model, subspace):
    drawn = np.random.default_rng(0).normal(size=(4, *model.mean.shape)).astype(np.float32)
    return drawn, np.asarray(jax.vmap(subspace.project)(drawn))


def test_what_lies_within_runs_along_the_normals(model, within):
    normals = np.asarray(vertex_normals(model.topology, model.mean))
    np.testing.assert_allclose(np.cross(within[1], normals), 0, atol=1e-5)


def test_what_lies_within_is_orthogonal_to_all_that_the_base_level_can_do(model, within):
    face = np.asarray(model.regions["face"])
    reach = base_displacements(model)[:, face].reshape(-1, 3 * face.sum())
    cosines = within[1][:, face].reshape(4, -1) @ reach.T / np.linalg.norm(reach, axis=1)
    assert np.abs(cosines / np.linalg.norm(within[1][:, face], axis=(1, 2))[:, None]).max() < 1e-4


def test_the_nearest_is_nearest(subspace, within):
    drawn, found = within
    np.testing.assert_allclose(jax.vmap(subspace.project)(found), found, atol=1e-4)
    np.testing.assert_allclose(
        np.sum(found * (drawn - found), axis=(1, 2)) / np.sum(found**2, axis=(1, 2)), 0, atol=1e-4
    )


def test_the_base_level_itself_is_left_nothing(model, subspace):
    """Of what it does along the normals; outside the face it may do what it likes."""
    normals = np.asarray(vertex_normals(model.topology, model.mean))
    face = np.asarray(model.regions["face"])
    along = along_normals(np.asarray(model.identity), normals)[:, :, None] * normals
    left = np.asarray(jax.vmap(subspace.project)(jnp.asarray(along * face[:, None], jnp.float32)))
    assert np.linalg.norm(left, axis=(1, 2)).max() < 1e-3 * np.linalg.norm(along[:, face], axis=(1, 2)).min()


def test_the_skins_tone_stays_that_of_the_base_level(model):
    drawn = np.random.default_rng(1).normal(0.2, 0.1, size=model.mean.shape).astype(np.float32)
    tone, skin = ToneSubspace.of(model), np.asarray(model.regions["skin"], bool)
    within = np.asarray(tone.project(drawn))
    np.testing.assert_allclose(within[skin].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(tone.project(within), within, atol=1e-5)
    np.testing.assert_allclose(within - within[0], drawn - drawn[0], atol=1e-5)  # differences of vertices are kept
