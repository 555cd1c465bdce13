"""Another light, another expression."""

from dataclasses import replace

import numpy as np
import pytest

from fml_jax import lamp
from fml_jax.errors import InputError
from fml_jax.image_formation.illumination import shading
from fml_jax.photos.crops import apply_affine
from fml_jax.reconstruction.levels import with_code


def test_a_lamp_lights_what_is_turned_to_it():
    """In the viewer's axes: x right, y up, z to the viewer."""
    camera = np.array([1, -1, -1])
    for towards in ([1, 0, 0], [0, 2, 0], [0, 0, 0.5], [-1, 1, 1]):
        towards = np.array(towards, float)
        normals = np.array([towards, -towards]) / np.linalg.norm(towards) * camera
        bright, dark = np.asarray(shading(normals.astype(np.float32), lamp(towards)))
        assert bright == pytest.approx(1, abs=0.07) and dark == pytest.approx(0.35, abs=0.07)


def test_a_lamps_colour_is_that_of_the_light_everywhere():
    gamma = lamp([0, 0, 1], colour=[1, 0.5, 0.25])
    np.testing.assert_allclose(gamma[:, 1] * 2, gamma[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    "arguments", [{"direction": (0, 0, 0)}, {"direction": (1, 0)}, {"direction": (0, 0, 1), "ambient": 2}]
)
def test_a_lamp_that_cannot_be_is_named(arguments, unchecked):
    with pytest.raises(InputError, match="is none|out of range"):
        lamp(**arguments)


def test_a_relit_face_has_the_same_geometry_and_reflectance(face):
    left = face.relit(lamp([-1, 0, 0.3]))
    assert left.vertices is face.vertices and left.reflectance is face.reflectance
    picture = left.render("shading", 120).astype(float)
    assert picture[50:80, 30:55].mean() > picture[50:80, 65:90].mean() + 20
    again = left.relit(face)
    np.testing.assert_array_equal(again.illumination, face.illumination)


def test_what_is_no_light_is_named(face):
    with pytest.raises(InputError, match=r"light of shape \(2,\) is none"):
        face.relit([1, 2])


def test_a_lamp_is_as_bright_as_the_light_before(face):
    lit = face.relit((0, 0, 1))
    before, after = face.render("overlay", 120), lit.render("overlay", 120)
    shown = (before != face.render("photo", 120)).any(axis=-1)
    assert after[shown].mean() == pytest.approx(before[shown].mean(), rel=0.25)


def test_a_changed_face_has_a_mouth_of_its_own(face):
    opened = face.with_expression({"jawOpen": 1})
    centre = np.round(apply_affine(face.crop_from_photo, opened.landmarks68[[62, 66]]).mean(axis=0)).astype(int)
    pixel = (centre[1], centre[0])
    assert (opened.render("overlay")[pixel] == face.render("photo")[pixel]).all()
    assert opened.render("changed")[pixel].mean() < 90  # dark within


def test_an_expression_comes_from_another_face_and_goes_again(face):
    face = face.level("base")
    other = with_code(face, face.code.replace(expression=0 * face.code.expression, identity=0 * face.code.identity))
    calm = face.with_expression(other)
    same = with_code(face, face.code.replace(expression=other.code.expression))
    for name in ("vertices", "landmarks68", "projected"):
        np.testing.assert_allclose(getattr(calm, name), getattr(same, name), atol=0.01)
    back = calm.with_expression(face)
    np.testing.assert_allclose(back.vertices, face.vertices, atol=1e-3)
    assert np.abs(calm.vertices - face.vertices).max() > 3


def test_an_expression_keeps_what_was_added_to_the_vertices(face):
    added = replace(face, vertices=face.vertices + 1)
    np.testing.assert_allclose(
        added.with_expression({"jawOpen": 1}).vertices, face.with_expression({"jawOpen": 1}).vertices + 1, atol=1e-3
    )


def test_named_weights_open_the_mouth(face):
    closed, opened = (face.with_expression({"jawOpen": weight}) for weight in (0, 1))
    inner_lips = [62, 66]
    gap = [np.ptp(each.landmarks68[inner_lips, 1]) for each in (closed, opened)]
    assert gap[1] > gap[0] + 10  # pixels of the photo
    assert opened.expression_weights["jawOpen"] == pytest.approx(1, abs=0.05)
    assert max(closed.expression_weights.values()) < 0.05


def test_expressions_that_cannot_be_are_named(face):
    with pytest.raises(InputError, match="shape 'smile' is unknown; choose from browDownLeft"):
        face.with_expression({"smile": 1})
    with pytest.raises(InputError, match=r"an expression of shape \(3,\)"):
        face.with_expression([1, 2, 3])
    other = replace(face, model=face.model.replace(name="another"))
    with pytest.raises(InputError, match="face model another for a face of fml-open-face"):
        face.with_expression(other)
    with pytest.raises(InputError, match="another has no named shapes"):
        other.with_expression({"jawOpen": 1})
