"""The table of reflectance, of people whose network is known."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from fml_jax.codes import flatten_code
from fml_jax.evaluation import reflectance_table as module
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.reflectance_table import BASE, FINAL, MEAN, OWN, reflectance_table, table_of
from tests.tiny_face import random_code

STRIPES = np.where(np.arange(81)[:, None] % 2, 0.1, -0.1)


@dataclass
class Face:
    """A base level that is right but for a shift, and a final level that adds stripes."""

    reflectance: np.ndarray
    final_code: object = ()

    def level(self, name):
        return Face(self.reflectance - STRIPES)


class Network:
    """Predicts the last person who was rendered, as far as its model's modes reach."""

    def __init__(self, model, person):
        self.model, self.person = model, person

    def with_model(self, model):
        return Network(model, self.person)

    def __call__(self, crop, boxes):
        assert len(boxes) == 1 and len(boxes[0]) == 4
        skin = np.tensordot(self.person["beta"], np.asarray(self.model.reflectance), 1)
        return [Face(np.asarray(self.model.reflectance_mean) + skin + 0.05 + STRIPES)]


@pytest.fixture
def network(tiny_model, monkeypatch, unchecked):
    """The network; people are rendered in grey, with some pixels of landmarks."""
    nothing = np.zeros(tiny_model.vertex_count, bool)
    network = Network(tiny_model.replace(regions={**tiny_model.regions, "eyes": nothing}), {})

    def rendered(model, units, rng, *, style, like=None):
        code = random_code(model, rng) if like is None else like
        network.person["beta"] = np.asarray(code.reflectance)
        landmarks = rng.uniform(60, 180, (68, 2))
        return SimpleNamespace(crop=np.full((240, 240, 3), 90, np.uint8), landmarks=landmarks, code=flatten_code(code))

    monkeypatch.setattr(module, "render_synthetic", rendered)
    monkeypatch.setattr(module, "expression_units", lambda model: None)
    monkeypatch.setattr(Job, "reconstructor", network)
    return network


def test_errors_have_no_mean_and_the_missing_modes_count(network, tmp_path):
    table = reflectance_table(Job(tmp_path, most=2), None)
    whole, half, pairs = table.parts
    whole, half = ({line[0]: line[2] for line in part.rows} for part in (whole, half))
    assert float(whole[BASE]) < 1e-6
    assert 0.05 < float(whole[FINAL]) < 0.18  # stripes, interpolated between vertices
    assert float(half[BASE]) == pytest.approx(float(half[OWN]), abs=1e-6) and float(half[OWN]) > 0.01
    assert whole[MEAN] == half[MEAN]
    truth, base, final = pairs.rows
    assert truth[:4] == ("renders", "the truth", 2, 4) and truth[4] == base[4] == "0.000" and truth[5] == base[5]
    assert table.sheet.shape[1] == 6 * 200
    assert [row["person"] for row in table.rows] == [0, 0, 1, 1]


def test_photos_of_one_person_stand_beside_those_of_others(tmp_path):
    def row(person, tone):
        return {"photo": f"{person}.jpg", "person": person, "points": {BASE: np.full((5, 3), tone).tolist()}}

    errors = {"3 of 3 modes": {MEAN: 0.1, BASE: 0.05}}
    rendered = [{"person": k, "errors": errors, "points": [], "truth": []} for k in range(2)]
    photos = [row("Ada", 0.5), row("Ada", 0.6), row("Bob", 0.1)]
    table = table_of(rendered, photos, [])
    assert [line[:4] for line in table.parts[-1].rows] == [("photos", BASE, 2, 3)]
    within, between = (float(cell) for cell in table.parts[-1].rows[0][4:6])
    assert within == pytest.approx(0.1 * 3**0.5, abs=1e-3) and between == pytest.approx(0.45 * 3**0.5, abs=1e-3)
