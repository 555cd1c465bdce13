"""The evaluation's bounds on the astronaut: the span fits best, the mean face is a bound that means something."""

import numpy as np
import pytest
from skimage import data

from fml_jax.evaluation.photos import lighting, network_errors, span_errors
from fml_jax.evaluation.tables import markdown, summary
from fml_jax.photos.landmarks import detect_landmarks, ibug68


@pytest.fixture(scope="module")
def reference(shared):
    return ibug68(detect_landmarks(data.astronaut()))


def test_the_rows_that_cost_nothing(face, reference):
    network, span = network_errors(face, reference), span_errors(face, reference)
    assert span["landmarks, best in span"] < 0.005 < network["landmarks, mean face"] < 0.06
    assert network["colours, whole face"] < 0.9 * network["colours, whole face, base level"]
    assert span["pose"] < 5 and abs(span["yaw"] - face.angles[0]) < 5
    assert 0.01 < network["colours"] < 0.3 and 0.01 < network["colours, mean reflectance"] < 0.3


def test_light_from_one_side_and_dark_photos_are_told(face):
    import dataclasses

    plain = lighting(face)
    darker = dataclasses.replace(face, photo=(face.photo * 0.5).astype(np.uint8))
    columns = np.clip(np.arange(face.photo.shape[1]) - face.box[0], 0, face.box[2] - face.box[0])
    fade = (1 - 0.8 * columns / (face.box[2] - face.box[0]))[None, :, None]
    lit = dataclasses.replace(face, photo=(face.photo * fade).astype(np.uint8))
    assert lighting(darker)["brightness"] == pytest.approx(0.5 * plain["brightness"], rel=0.02)
    assert lighting(darker)["side light"] == pytest.approx(plain["side light"], abs=0.02)
    assert lighting(lit)["side light"] > plain["side light"] + 0.1


def test_landmarks_are_split_by_how_sure_the_network_is(face, reference):
    import dataclasses

    surest_first = np.linspace(1, 2, 68)
    moved = reference + np.where(surest_first < 1.5, 0.0, 3.0)[:, None]
    sure = dataclasses.replace(face, landmarks68=moved, landmark_uncertainty=surest_first)
    errors = network_errors(sure, reference)
    size = np.sqrt(np.prod(np.ptp(reference, axis=0)))
    assert errors["landmarks, surest half"] == 0
    assert errors["landmarks, least sure tenth"] == pytest.approx(np.hypot(3, 3) / size)
    blind = dataclasses.replace(face, landmark_uncertainty=None)
    assert "landmarks, surest half" not in network_errors(blind, reference)


def test_the_mean_faces_row_does_not_depend_on_the_network(face, reference):
    import dataclasses

    import jax

    worse = dataclasses.replace(face, code=jax.tree.map(np.array, face.code).replace(identity=np.ones(80, np.float32)))
    one, other = (network_errors(each, reference)["landmarks, mean face"] for each in (face, worse))
    assert one == pytest.approx(other, rel=0.02)


def test_tables():
    assert markdown(["a", "b"], [("x", 0.123456)]).splitlines()[-1] == "| x | 0.1235 |"
    assert "| errors | 3 | 2 % | 2 % | 2.8 % |" in summary({"errors": [0.01, 0.02, 0.03]}, percent=True)
