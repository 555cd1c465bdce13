"""Teeth and tongue in pictures: they belong to a face model's file, follow the jaw, and show when the mouth opens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import neutral_code
from fml_jax.face_model import load_face_model, load_face_parts
from fml_jax.face_model.files import OPEN_MODEL, read_arrays
from fml_jax.image_formation.parts import (
    NOT_DRAWN,
    form_parts,
    join_parts,
    joined_rows,
    joined_triangles,
    parts_of,
    parts_vertices,
)
from fml_jax.image_formation.points import form_points
from fml_jax.image_formation.raster import rasterize
from fml_jax.image_formation.rotation import rotation_matrices


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def jaw_code():
    arrays = read_arrays(OPEN_MODEL)
    return jnp.asarray(arrays["arkit_codes"][arrays["arkit_names"].tolist().index("jawOpen")])


def test_a_model_has_the_parts_of_its_file(model, tiny_model):
    assert parts_of(model) is not None and parts_of(load_face_model(detail="face")) is not None
    assert parts_of(tiny_model) is None and parts_of(None) is None


def test_all_parts_but_the_lashes_are_joined():
    parts = load_face_parts()
    joined = join_parts(parts)
    assert len(joined.mean) == sum(len(part.mean) for name, part in parts.items() if name not in NOT_DRAWN)
    assert joined.triangles.max() == len(joined.mean) - 1


def test_lower_teeth_follow_the_jaw_and_upper_ones_stay(model, jaw_code):
    code = neutral_code(model.code_sizes)
    parts = join_parts({"teeth": load_face_parts()["teeth"]})
    form = jax.jit(form_parts)
    closed, opened = (np.asarray(form(parts, c).positions) for c in (code, code.replace(expression=jaw_code)))
    down = opened[:, 1] - closed[:, 1]  # camera axes: y downwards
    assert np.percentile(down, 90) > 20 and np.percentile(np.abs(down), 10) < 1


def test_numpys_vertices_are_those_of_the_points(model, jaw_code):
    parts, code = parts_of(model), neutral_code(model.code_sizes).replace(expression=jaw_code)
    turn, shift = rotation_matrices(code.rotation), np.asarray(code.translation)
    expected = jax.jit(form_parts)(parts, code).positions
    np.testing.assert_allclose(parts_vertices(parts, code) @ turn.T + shift, expected, atol=2e-3)


def test_an_open_mouth_shows_them_and_a_closed_one_hides_them(model, jaw_code):
    parts, code, shown = parts_of(model), neutral_code(model.code_sizes), []
    for expression in (code.expression, jaw_code):
        moved = code.replace(expression=expression)
        points = jax.device_get((jax.jit(form_points)(model, moved), jax.jit(form_parts)(parts, moved)))
        pixels = joined_rows(points[0].pixels, points[1].pixels)
        depth = joined_rows(points[0].positions, points[1].positions)[:, 2]
        triangles = joined_triangles(model.vertex_count, np.asarray(model.topology.triangles), parts)
        index, _ = rasterize(pixels, depth, triangles, height=240, width=240)
        shown.append(int((index >= len(model.topology.triangles)).sum()))
    assert shown[0] < 15 and shown[1] > 200


def test_teeth_are_darker_the_farther_back_they_are():
    """Without lips' and cheeks' shade the teeth at the mouth's corners shine like fangs."""
    part = load_face_parts()["teeth"]
    parts = join_parts({"teeth": part})
    depth, shade = part.mean[:, 2].max() - part.mean[:, 2], np.asarray(parts.shade)
    assert (np.diff(shade[np.argsort(depth)]) <= 1e-6).all()
    assert shade[depth < 2].min() > 2 * shade[depth > 12].max() and shade.min() > 0
    code = neutral_code(load_face_model().code_sizes)
    np.testing.assert_allclose(form_parts(parts, code).reflectance, shade[:, None] * part.reflectance, rtol=1e-5)
