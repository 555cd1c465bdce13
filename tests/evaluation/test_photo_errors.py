"""The evaluation's bounds on the astronaut: the span fits best, the mean face is a bound that means something."""

import dataclasses

import numpy as np
import pytest
from skimage import data

from fml_jax.evaluation.photo_table import _by_uncertainty
from fml_jax.evaluation.photos import (
    DISTANCES,
    EXPECTED,
    errors_by_uncertainty,
    lighting,
    network_errors,
    span_errors,
)
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
    plain = lighting(face)
    darker = dataclasses.replace(face, photo=(face.photo * 0.5).astype(np.uint8))
    columns = np.clip(np.arange(face.photo.shape[1]) - face.box[0], 0, face.box[2] - face.box[0])
    fade = (1 - 0.8 * columns / (face.box[2] - face.box[0]))[None, :, None]
    lit = dataclasses.replace(face, photo=(face.photo * fade).astype(np.uint8))
    assert lighting(darker)["brightness"] == pytest.approx(0.5 * plain["brightness"], rel=0.02)
    assert lighting(darker)["side light"] == pytest.approx(plain["side light"], abs=0.02)
    assert lighting(lit)["side light"] > plain["side light"] + 0.1


def test_landmarks_are_split_by_how_sure_the_network_is(face, reference):
    surest_first = np.linspace(1, 2, 68)
    moved = reference + np.where(surest_first < 1.5, 0.0, 3.0)[:, None]
    sure = dataclasses.replace(face, landmarks68=moved, landmark_uncertainty=surest_first)
    errors = network_errors(sure, reference)
    size = np.sqrt(np.prod(np.ptp(reference, axis=0)))
    np.testing.assert_allclose(errors[EXPECTED], surest_first / size)
    parts = errors_by_uncertainty(np.array(errors[EXPECTED]), np.array(errors[DISTANCES]))
    assert [len(part) for part in parts.values()] == [34, 6]
    assert (parts["surest half"] == 0).all()
    np.testing.assert_allclose(parts["least sure tenth"], np.hypot(3, 3) / size, rtol=1e-6)
    blind = dataclasses.replace(face, landmark_uncertainty=None)
    assert EXPECTED not in network_errors(blind, reference)


def test_uncertainty_ranks_the_landmarks_of_all_photos_together():
    """The second photo is blurred, and the network knows it: among all landmarks the ratio is larger than in each."""
    expected = [np.linspace(1, 2, 20), np.linspace(11, 12, 20)]
    rows = [{EXPECTED: list(each), DISTANCES: list(each)} for each in expected]
    (part,) = _by_uncertainty(rows)
    everything = np.sort(np.concatenate(expected))
    assert float(part.rows[0][3]) == pytest.approx(everything[-4:].mean() / everything[:20].mean(), abs=0.006)
    assert float(part.rows[1][3]) < 2 < float(part.rows[0][3])
    assert _by_uncertainty([{"found": True}]) == []


def test_the_mean_faces_row_does_not_depend_on_the_network(face, reference):
    import jax

    worse = dataclasses.replace(face, code=jax.tree.map(np.array, face.code).replace(identity=np.ones(80, np.float32)))
    one, other = (network_errors(each, reference)["landmarks, mean face"] for each in (face, worse))
    assert one == pytest.approx(other, rel=0.02)


def test_tables():
    assert markdown(["a", "b"], [("x", 0.123456)]).splitlines()[-1] == "| x | 0.1235 |"
    assert "| errors | 3 | 2 % | 2 % | 2.8 % |" in summary({"errors": [0.01, 0.02, 0.03]}, percent=True)
