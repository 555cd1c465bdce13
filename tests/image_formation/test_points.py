"""The fast image formation against the slow one and against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import geometry
from fml_jax.image_formation import reference
from fml_jax.image_formation.camera import CROP_SIZE, project, to_camera, view_rays
from fml_jax.image_formation.points import form_points as points_of
from fml_jax.image_formation.rotation import rotation_matrix

form_points = jax.jit(points_of)  # one program; without `jit` it would be some hundred
CASES = ("turned", "zero rotation", "behind the camera", "outside the image")


def slow_points(model, code):
    def float64(array):
        return np.asarray(array, np.float64)

    modes = [
        float64(getattr(model, name)) for name in ("mean", "identity", "expression", "reflectance_mean", "reflectance")
    ]
    vertices = (
        modes[0]
        + np.tensordot(float64(code.identity), modes[1], 1)
        + np.tensordot(float64(code.expression), modes[2], 1)
    )
    colours = modes[3] + np.tensordot(float64(code.reflectance), modes[4], 1)
    pose = {"rotation": float64(code.rotation), "translation": float64(code.translation)}
    triangles = np.asarray(model.topology.triangles)
    return reference.form_points(vertices, triangles, colours, **pose, gamma=float64(code.illumination))


@pytest.mark.parametrize("case", CASES)
def test_forward_agrees_with_the_reference(tiny_model, tiny_code, case):
    code = in_case(tiny_code, case)
    points = form_points(tiny_model, code)
    positions, pixels, normals, visible, colours = slow_points(tiny_model, code)
    np.testing.assert_allclose(points.positions, positions, atol=1e-3)
    np.testing.assert_allclose(points.pixels, pixels, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(points.normals, normals, atol=1e-4)
    np.testing.assert_allclose(points.colours, colours, atol=1e-4)
    np.testing.assert_array_equal(points.visible, visible)


def test_cases_differ_in_visibility(tiny_model, tiny_code):
    seen = {case: int(form_points(tiny_model, in_case(tiny_code, case)).visible.sum()) for case in CASES}
    assert seen["turned"] > 40
    assert seen["zero rotation"] == 0  # model z points away from the camera: the back is seen
    assert seen["behind the camera"] == 0
    assert 0 < seen["outside the image"] < seen["turned"]


def in_case(code: FaceCode, case: str) -> FaceCode:
    if case == "zero rotation":
        return code.replace(rotation=jnp.zeros(3))
    if case == "behind the camera":
        return code.replace(translation=jnp.array([0.0, 0.0, -300.0]))
    if case == "outside the image":
        return code.replace(translation=jnp.array([110.0, 0.0, 900.0]))
    return code


@pytest.mark.parametrize("case", CASES)
def test_gradients_agree_with_finite_differences_of_the_reference(tiny_model, tiny_code, case):
    """The gradient of weighted pixels and colours along random directions, float64 differences."""
    code = in_case(tiny_code, case)
    rng = np.random.default_rng(7)
    pixel_weights = rng.normal(size=(tiny_model.vertex_count, 2)) / 100
    colour_weights = rng.normal(size=(tiny_model.vertex_count, 3))

    def fast(code):
        points = form_points(tiny_model, code)
        return jnp.sum(points.pixels * pixel_weights) + jnp.sum(points.colours * colour_weights)

    def slow(code):
        _, pixels, _, _, colours = slow_points(tiny_model, code)
        return np.sum(pixels * pixel_weights) + np.sum(colours * colour_weights)

    gradient = jax.jit(jax.grad(fast))(code)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    for name in vars(code):
        part = np.asarray(getattr(code, name), np.float64)
        direction = rng.normal(size=part.shape)
        step = 1e-4
        there, back = (slow(_with(code, name, part + sign * step * direction)) for sign in (1, -1))
        predicted = float(np.sum(np.asarray(getattr(gradient, name), np.float64) * direction))
        assert predicted == pytest.approx((there - back) / (2 * step), rel=5e-3, abs=2e-3), name


def _with(code, name, value):
    parts = {field: np.asarray(getattr(code, field), np.float64) for field in vars(code)}
    return FaceCode(**{**parts, name: value})


def test_rays_go_through_their_pixels():
    pixels = jnp.asarray([[0.0, 0.0], [119.5, 119.5], [239.0, 13.25]])
    rays = view_rays(pixels)
    np.testing.assert_allclose(jnp.linalg.norm(rays, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(project(500 * rays), pixels, atol=1e-2)


def test_frontal_face_is_upright_and_unmirrored(tiny_model):
    """Model x (the subject's left) goes right in the picture, model y goes up."""
    corners = jnp.asarray([[50.0, 0.0, 0.0], [0.0, 50.0, 0.0]])
    left, top = project(to_camera(corners, jnp.asarray([np.pi, 0, 0], jnp.float32), jnp.asarray([0.0, 0.0, 900.0])))
    assert left[0] > CROP_SIZE / 2 and abs(left[1] - (CROP_SIZE - 1) / 2) < 1e-2
    assert top[1] < CROP_SIZE / 2 and abs(top[0] - (CROP_SIZE - 1) / 2) < 1e-2


def test_shading_of_known_lights(tiny_model, tiny_code):
    """White light from everywhere leaves the reflectance as it is; a lamp from above darkens chins."""
    white = tiny_code.replace(illumination=jnp.zeros((9, 3)).at[0].set(1.0))
    points = form_points(tiny_model, white)
    np.testing.assert_allclose(points.colours, points.reflectance, atol=1e-6)
    from_above = white.replace(illumination=white.illumination.at[2].set(-0.5))  # camera y points down
    lit = form_points(tiny_model, from_above)
    brightness = (lit.colours / lit.reflectance)[:, 0]
    assert np.corrcoef(brightness, lit.normals[:, 1])[0, 1] < -0.99


def test_rotation_matrix_of_the_points_is_the_codes(tiny_model, tiny_code):
    points = form_points(tiny_model, tiny_code)
    vertices = geometry(tiny_model, tiny_code.identity, tiny_code.expression)
    moved = vertices @ rotation_matrix(tiny_code.rotation).T + tiny_code.translation
    np.testing.assert_allclose(points.positions, moved, rtol=1e-6, atol=1e-4)
