"""Faces against what renders show, on cases made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import flatten_code
from fml_jax.evaluation.metrics import geometry_error, similarity_aligned
from fml_jax.evaluation.surfaces import Surfaces, free_surfaces, known_surfaces, relit_photometric_error, surface_errors
from fml_jax.face_model.base import geometry, reflectance
from fml_jax.image_formation.points import form_points_of
from fml_jax.image_formation.rotation import rotation_matrix
from tests.tiny_face import random_code

ALL = np.ones(81, bool)


def moved(points, scale=1.3):
    turn = np.asarray(rotation_matrix(jnp.array([0.4, -2.0, 0.9])))
    return scale * points @ turn.T + [3.0, -50.0, 900.0]


def test_alignment_takes_out_size_place_and_turn():
    points = np.random.default_rng(0).normal(0, 50, (4, 81, 3))
    np.testing.assert_allclose(similarity_aligned(moved(points), points, ALL), points, atol=1e-4)
    assert geometry_error(moved(points), points, ALL) < 1e-4
    mirrored = points * [-1, 1, 1]
    assert geometry_error(mirrored, points, ALL) > 10  # no mirror image is taken for a turn


def test_what_no_similarity_does_is_counted():
    """A cube's corners, every other one moved by 2 mm this way and the rest that way: no move, turn or size helps."""
    corners = 50.0 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    bent = corners + 2 * np.sign(corners.prod(axis=1, keepdims=True)) * [1, 0, 0]
    assert geometry_error(moved(bent[None]), corners[None], np.ones(8, bool)) == pytest.approx(2, rel=1e-3)
    outlier = np.concatenate([moved(corners), [[500.0, 0, 0]]])[None]
    assert geometry_error(outlier, np.concatenate([corners, [[0, 0, 0]]])[None], np.arange(9) < 8) < 1e-4


@pytest.fixture
def batch(tiny_model):
    """Two renders of the tiny model, with something no code of it can say in the stored truth."""
    codes = [random_code(tiny_model, np.random.default_rng(k)) for k in range(2)]
    shapes = np.concatenate([tiny_model.identity, tiny_model.expression]).reshape(5, -1)
    hidden = np.random.default_rng(5).normal(0, 2, shapes.shape[1])
    hidden -= shapes.T @ np.linalg.lstsq(shapes.T, hidden, rcond=None)[0]
    vertices = [geometry(tiny_model, code.identity, code.expression) + hidden.reshape(81, 3) for code in codes]
    return {
        "code": np.stack([flatten_code(code) for code in codes]),
        "vertices": np.stack(vertices).astype(np.float32),
        "reflectance": np.stack([reflectance(tiny_model, code.reflectance) for code in codes]),
        "hidden": hidden.reshape(81, 3),
    }


def test_the_span_gives_all_but_what_is_hidden(tiny_model, batch):
    hidden = batch.pop("hidden")
    true, free = known_surfaces(tiny_model, batch), free_surfaces(tiny_model, tiny_model, batch)
    gaps = true.vertices - free["in_span"].vertices
    np.testing.assert_allclose(gaps, np.broadcast_to(hidden, gaps.shape), atol=1e-3)
    np.testing.assert_allclose(free["in_span"].reflectance, true.reflectance, atol=1e-5)
    np.testing.assert_array_equal(free["mean"].vertices[0], tiny_model.mean)
    errors = {name: surface_errors(each, true, ALL) for name, each in free.items()}
    assert 0 < errors["in_span"]["geometry_error"] <= np.linalg.norm(hidden, axis=1).mean()
    assert errors["in_span"]["geometry_error"] < errors["mean"]["geometry_error"]
    assert errors["in_span"]["reflectance_error"] < 1e-5 < errors["mean"]["reflectance_error"]


def test_codes_are_the_truth_where_none_is_stored(tiny_model, batch):
    codes_only = {"code": batch["code"]}
    true = known_surfaces(tiny_model, codes_only)
    np.testing.assert_allclose(true.vertices, batch["vertices"] - batch["hidden"], atol=1e-3)
    free = free_surfaces(tiny_model, tiny_model, codes_only)
    assert free.keys() == {"mean", "own_modes"}
    np.testing.assert_array_equal(free["own_modes"].vertices, true.vertices)


def test_the_light_is_found_again(tiny_model):
    """A crop that has one colour everywhere is met by a grey face under some light, and not by a striped one."""
    codes = jax.tree.map(
        lambda *parts: jnp.stack(parts), *(random_code(tiny_model, np.random.default_rng(k)) for k in range(2))
    )
    crops = np.full((2, 240, 240, 3), [0.3, 0.5, 0.2], np.float32)
    grey = np.full((1, 81, 3), 0.6, np.float32)
    stripes = grey * np.where(np.arange(81) % 2, 1.5, 0.5)[:, None].astype(np.float32)
    vertices = np.asarray(tiny_model.mean)[None]
    visible = form_points_of(
        tiny_model.topology, vertices[0], grey[0], code=jax.tree.map(lambda part: part[0], codes)
    ).visible
    assert visible.sum() > 20
    assert relit_photometric_error(tiny_model, Surfaces(vertices, grey), codes, crops=crops) < 1e-3
    assert relit_photometric_error(tiny_model, Surfaces(vertices, stripes), codes, crops=crops) > 0.1
