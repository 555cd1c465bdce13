"""Corrections of the face on a whole head."""

import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.face_model import load_face_model
from fml_jax.face_model.base import kept_vertices
from fml_jax.face_model.placement import MOVES_EDGE, Placement, SkinCompletion, beside_face, face_outline

HEAD, FACE = load_face_model(), load_face_model(detail="face")
ROWS = kept_vertices(HEAD, np.asarray(HEAD.regions["face"]))
REGIONS = {name: np.asarray(mask) for name, mask in HEAD.regions.items()}


@pytest.fixture(scope="module")
def moves():
    return Placement.of(HEAD, ROWS, edge=MOVES_EDGE)


def test_the_outline_surrounds_the_face_and_is_the_same_without_the_head():
    outline, alone = face_outline(HEAD), face_outline(FACE)
    np.testing.assert_array_equal(np.asarray(HEAD.mean)[outline], np.asarray(FACE.mean)[alone])
    mean = np.asarray(HEAD.mean)
    for name in ("eyes", "nose", "lips"):
        inside = mean[REGIONS[name] & REGIONS["face"]]
        assert (mean[outline].min(axis=0) < inside.min(axis=0))[:2].all()
        assert (mean[outline].max(axis=0) > inside.max(axis=0))[:2].all()


def test_inner_vertices_move_by_their_correction_and_those_of_the_outline_stay(moves):
    drawn = np.random.default_rng(0).normal(size=(len(ROWS), 3))
    placed = np.asarray(moves.placed(jnp.asarray(drawn)))
    inner = np.flatnonzero(REGIONS["nose"] & REGIONS["face"])
    np.testing.assert_allclose(placed[inner], drawn[np.searchsorted(ROWS, inner)], atol=1e-6)
    assert not placed[face_outline(HEAD)].any()
    assert not placed[beside_face(HEAD) & (np.asarray(HEAD.mean)[:, 2] < 0)].any()


def test_vertices_that_the_face_surrounds_move_with_their_neighbours(moves):
    """Beside the eyes: a face that moves as a whole leaves no vertex of its skin behind."""
    placed = np.asarray(moves.placed(jnp.ones((len(ROWS), 3))))
    mean = np.asarray(HEAD.mean)
    left = beside_face(HEAD) & (np.abs(mean[:, 1] - 17) < 25) & (mean[:, 2] > 80)
    assert left.any()
    np.testing.assert_array_equal(placed[left], 1)


@pytest.mark.parametrize("kind", ["moves", "skin"])
def test_training_on_the_face_alone_places_what_the_head_gets(kind, moves):
    if kind == "moves":
        on_head, on_face = moves.placed, Placement.of(FACE, edge=MOVES_EDGE).placed
    else:
        on_head, on_face = SkinCompletion.of(HEAD, ROWS).completed, SkinCompletion.of(FACE).completed
    drawn = jnp.asarray(np.random.default_rng(1).normal(size=(len(ROWS), 3)), jnp.float32)
    within = REGIONS["face"][ROWS]
    np.testing.assert_allclose(on_head(drawn)[ROWS][within], on_face(drawn)[within], atol=1e-6)


def test_a_model_without_regions_beside_the_face_keeps_all_corrections():
    regions = {name: mask for name, mask in FACE.regions.items() if name not in ("ears", "neck", "scalp")}
    model = FACE.replace(regions=regions)
    drawn = jnp.asarray(np.random.default_rng(2).normal(size=(FACE.vertex_count, 3)), jnp.float32)
    face = np.asarray(FACE.regions["face"])
    moved = Placement.of(model, edge=MOVES_EDGE).placed(drawn)
    corrected = face & ~np.asarray(FACE.regions["eyes"])
    np.testing.assert_allclose(moved[corrected], drawn[corrected], atol=1e-6)
    assert not moved[~corrected].any()
    skin = np.asarray(FACE.regions["skin"])
    completed = np.asarray(SkinCompletion.of(model).completed(drawn))
    np.testing.assert_allclose(completed[skin], drawn[skin] - np.asarray(drawn)[skin].mean(axis=0), atol=1e-6)


def test_eyeballs_stay(moves):
    assert not np.asarray(moves.placed(jnp.ones((len(ROWS), 3))))[REGIONS["eyes"]].any()


def test_corrections_of_skin_do_not_change_its_tone_nor_the_eyes():
    drawn = jnp.asarray(np.random.default_rng(3).normal(size=(len(ROWS), 3)), jnp.float32)
    completed = np.asarray(SkinCompletion.of(HEAD, ROWS).completed(drawn))
    np.testing.assert_allclose(completed[REGIONS["skin"]].mean(axis=0), 0, atol=1e-5)
    assert not completed[REGIONS["eyes"]].any()


def test_one_correction_of_all_trained_skin_is_a_tone_and_left_out_of_the_whole_head():
    """So no colour of skin ends at the jaw; the mouth's inside is not corrected."""
    completion = SkinCompletion.of(HEAD, ROWS)
    assert np.abs(completion.completed(jnp.tile(jnp.array([0.1, -0.05, 0.02]), (len(ROWS), 1)))).max() < 1e-5
    whole = REGIONS["face"] | REGIONS["neck"] | REGIONS["ears"] | REGIONS["scalp"]
    corrected = np.asarray(completion.own.extent[:, 0] + completion.shares.sum(axis=1))
    np.testing.assert_allclose(corrected[whole & ~REGIONS["eyes"]], 1, atol=1e-5)
    assert not corrected[~whole & REGIONS["mouth"]].any()
