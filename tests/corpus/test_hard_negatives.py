"""Hard negatives lie beside faces and show none."""

import cv2
import numpy as np
import pytest

from fml_jax.corpus.hard_negatives import BESIDE, hard_negative_boxes, hard_negative_crops
from fml_jax.errors import InputError
from fml_jax.photos.boxes import Detection, overlap
from fml_jax.photos.haar import detect_faces_with_haar
from fml_jax.photos.landmarks import detect_mesh
from fml_jax.photos.reading import read_photo


@pytest.fixture(scope="module")
def photos(shared):
    return sorted((shared / "photos" / "lfw").glob("*/*.jpg"))[:40]


def test_they_lie_beside_faces_and_show_none(photos):
    found = 0
    for path in photos:
        rgb = read_photo(path)
        boxes = hard_negative_boxes(rgb, np.random.default_rng(0), most=2)
        faces = detect_faces_with_haar(rgb)
        for box in boxes:
            assert all(overlap(Detection(box, 0.0), face) <= BESIDE for face in faces)
            assert detect_mesh(rgb, box) is None
        assert boxes == hard_negative_boxes(rgb, np.random.default_rng(0), most=2) and len(boxes) <= 2
        found += len(boxes)
    assert found >= 5


def test_their_crops_come_in_mirrored_pairs_and_a_broken_photo_is_left_out(photos, tmp_path):
    (tmp_path / "broken.jpg").write_text("no photo")
    crops = hard_negative_crops([*photos[:10], tmp_path / "broken.jpg"], 11)
    assert crops.dtype == np.uint8 and crops.shape[1:] == (240, 240, 3) and len(crops) % 2 == 0
    np.testing.assert_array_equal(crops[len(crops) // 2], crops[0, :, ::-1])


def test_photos_without_hard_negatives_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((120, 120, 3), 90, np.uint8))
    with pytest.raises(InputError, match="no hard negative in 1 photos"):
        hard_negative_crops([tmp_path / "wall.png"], 5)
