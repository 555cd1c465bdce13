"""Several photos of one person, rendered and with their truth."""

import jax
import numpy as np
import pytest

from fml_jax.codes import unflatten_code
from fml_jax.errors import InputError
from fml_jax.evaluation.metrics import geometry_error
from fml_jax.evaluation.reference_faces import reference_face
from fml_jax.reconstruction.person import likeness
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.rendering import Style, render_synthetic

PHOTOS = 4
STYLE = Style(kinds=())  # nothing before the face


@pytest.fixture(scope="module")
def renders(reconstructor):
    """Four photos of each of two people."""
    model, people = reconstructor.model, []
    units = expression_units(model)
    for number in range(2):
        rng = np.random.default_rng([9, number])
        first = render_synthetic(model, units, rng, style=STYLE)
        like = unflatten_code(first.code, model.code_sizes)
        people.append(
            [first, *(render_synthetic(model, units, rng, style=STYLE, like=like) for _ in range(PHOTOS - 1))]
        )
    return people


def reconstructed(reconstructor, renders, **keywords):
    boxes = [[reference_face(each.landmarks).box] for each in renders]
    return reconstructor.person([each.crop for each in renders], boxes, **keywords)


@pytest.fixture(scope="module")
def person(reconstructor, renders):
    return reconstructed(reconstructor, renders[0])


def neutral_error(person, render):
    model = person[0].model
    identity = np.asarray(unflatten_code(render.code, model.code_sizes).identity)
    true = np.asarray(model.mean) + np.tensordot(identity, np.asarray(model.identity), 1)
    members = np.asarray(model.regions["face"])
    return geometry_error(person.neutral[None], true[None], members, scaled=False)


def test_all_photos_have_the_same_corrections_of_the_final_level(person):
    added = [face.vertices - face.level("base").vertices for face in person]
    painted = [face.reflectance - face.level("base").reflectance for face in person]
    assert np.abs(added[0]).max() > 0.1 and np.abs(painted[0]).max() > 0.01
    for each, colours in zip(added[1:], painted[1:], strict=True):
        np.testing.assert_allclose(each, added[0], atol=1e-2)
        np.testing.assert_allclose(colours, painted[0], atol=1e-3)


def test_renders_of_one_person_have_one_identity_and_different_expressions(renders, reconstructor):
    codes = [unflatten_code(each.code, reconstructor.model.code_sizes) for each in renders[0]]
    np.testing.assert_array_equal(codes[0].identity, codes[3].identity)
    np.testing.assert_allclose(codes[0].reflectance, codes[3].reflectance, rtol=1e-6)
    assert np.abs(codes[0].expression - codes[3].expression).max() > 0.1


def test_the_photos_share_identity_and_reflectance_but_nothing_else(person):
    assert len(person) == PHOTOS
    for face in person[1:]:
        np.testing.assert_array_equal(face.code.identity, person[0].code.identity)
        np.testing.assert_array_equal(face.code.reflectance, person[0].code.reflectance)
        for part in ("expression", "rotation", "illumination"):
            assert np.abs(getattr(face.code, part) - getattr(person[0].code, part)).max() > 0.01


def test_four_photos_tell_more_than_one_on_average(reconstructor, renders):
    four, alone = [], []
    for each in renders:
        four.append(neutral_error(reconstructed(reconstructor, each), each[0]))
        alone += [neutral_error(reconstructed(reconstructor, [photo]), photo) for photo in each]
    assert np.mean(four) < 0.95 * np.mean(alone)


def test_the_landmarks_stay_where_they_are_seen(person, renders):
    gaps = [
        np.linalg.norm(face.landmarks68 - each.landmarks, axis=1) for face, each in zip(person, renders[0], strict=True)
    ]
    assert np.mean(gaps) < 4.0  # of 240 pixels


def test_photos_without_the_person_are_reported_and_skipped(reconstructor, renders):
    noise = np.random.default_rng(0).integers(0, 255, (240, 240, 3), np.uint8)
    person = reconstructor.person([noise, renders[0][0].crop])
    assert [face.source for face in person] == ["photo 1"]
    assert [failure.source for failure in person.failures] == ["photo 0"]
    with pytest.raises(InputError, match="photo 0: no face found"):
        reconstructor.person([noise])


def test_of_two_faces_in_a_photo_the_persons_is_taken(reconstructor, renders):
    """The other one is on the left in one photo and on the right in the next; so no fixed choice passes."""
    ours, other = renders
    pictures, boxes = [ours[0].crop, ours[1].crop], [[reference_face(each.landmarks).box] for each in ours[:2]]
    for pair in ((other[0], ours[2]), (ours[3], other[1])):
        pictures.append(np.concatenate([each.crop for each in pair], axis=1))
        second = np.array(reference_face(pair[1].landmarks).box) + [240, 0, 240, 0]
        boxes.append([reference_face(pair[0].landmarks).box, tuple(second)])
    person = reconstructor.person(pictures, boxes)
    middles = [face.landmarks68[:, 0].mean() for face in person[2:]]
    assert middles[0] > 240 > middles[1]


def test_people_are_more_like_themselves(person, reconstructor, renders):
    other = reconstructed(reconstructor, renders[1][:1])[0].code
    again = reconstructed(reconstructor, renders[0][:1])[0].code
    assert likeness(person[0].code, again) > likeness(person[0].code, other)


@pytest.mark.slow
def test_refinement_of_all_photos_keeps_one_person_and_lowers_the_colours_error(reconstructor, renders, person):
    refined = reconstructed(reconstructor, renders[0][:2], refine=True)
    np.testing.assert_array_equal(refined[0].code.identity, refined[1].code.identity)
    np.testing.assert_array_equal(refined[0].code.reflectance, refined[1].code.reflectance)
    assert all(np.isfinite(part).all() for face in refined for part in jax.tree.leaves(face.code))
