"""Textures that are completed from the photo."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.export.photo_texture import photo_texture
from fml_jax.export.textures import atlas_of
from fml_jax.ops.images import eight_bits


def drawn(face):
    """The face in a photo that its own model has painted, with a green spot on the subject's left cheek."""
    picture = cv2.warpAffine(
        face.render("overlay", 240), face.crop_from_photo, face.photo.shape[1::-1], flags=cv2.WARP_INVERSE_MAP
    )
    spot = tuple(np.round((face.landmarks68[14] + face.landmarks68[35]) / 2).astype(int).tolist())
    return replace(face, photo=cv2.circle(picture, spot, 2, (60, 200, 60), -1))


@pytest.fixture(scope="module")
def textures(face):
    """The photo's texture of the painted face, and the reflectance alone, as numbers from 0 to 255."""
    painted = drawn(face)
    plain = eight_bits(atlas_of(face.model).baked(face.reflectance))
    return photo_texture(painted).astype(float), plain.astype(float)


def test_a_photo_of_the_models_own_colours_gives_its_reflectance_again(textures):
    found, plain = textures
    changed = np.abs(found - plain).max(axis=-1)
    assert np.median(changed) < 1 and np.quantile(changed, 0.98) < 25


def test_a_spot_of_the_photo_appears_on_the_subjects_left_cheek_alone(textures):
    found, plain = textures
    greener = (found - plain)[..., 1] - (found - plain)[..., 0]
    rows, columns = np.nonzero(greener > 25)
    assert len(rows) > 20
    assert (np.abs(columns - 256) > 20).all() and (columns > 256).all() and (columns < 470).all()
    assert np.ptp(columns) < 90 and np.ptp(rows) < 120


def test_what_the_photo_does_not_show_stays_the_reflectance(textures):
    found, plain = textures
    np.testing.assert_array_equal(found[:, 530:], plain[:, 530:])  # the back of the head
    np.testing.assert_array_equal(found[940:], plain[940:])  # the eyes


def test_a_hand_before_the_face_is_left_out(face):
    hidden = face.photo.copy()
    x, y = face.landmarks68[48:].mean(axis=0).astype(int)
    hidden[y - 20 : y + 40, x - 40 : x + 40] = (20, 20, 220)
    texture = photo_texture(replace(face, photo=hidden)).astype(int)
    blue = texture[..., 2] - texture[..., 0] > 80
    assert blue.mean() < 0.002


def test_files_have_the_texture_that_was_asked_for(face, tmp_path):
    pictures = {}
    for name in ("photo", "reflectance"):
        path = face.save(tmp_path / f"{name}.obj", texture=name)[2]
        pictures[name] = cv2.imread(str(path))[..., ::-1]
    np.testing.assert_array_equal(pictures["photo"], photo_texture(face))
    assert np.abs(pictures["photo"].astype(int) - pictures["reflectance"]).max() > 40
    with pytest.raises(InputError, match="texture 'photograph' is unknown; choose one of reflectance, photo"):
        face.save(tmp_path / "a.glb", texture="photograph")
