"""Sheets show the fixed crops beside what the network makes of them."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.face_model.correctives import Correctives
from fml_jax.networks.multilevel import Network, level_points
from fml_jax.training.sheets import ROWS, draw_sheet, sheet_crops
from tests.compiled_programs import run_once
from tests.training import stub

CELL = 204


def crops(first, count):
    return np.arange(first, first + count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 240, 240, 3), np.uint8)


def numbers(chosen):
    return chosen[:, 0, 0, 0].tolist()


def test_held_out_crops_are_shown_and_training_crops_only_without_any():
    photos, renders = {"crop": crops(0, 9)}, {"crop": crops(50, 9)}
    training = {"crop": crops(100, 9), "is_face": np.array([0, 1, 1, 0, 1, 1, 1, 1, 1])}
    assert numbers(sheet_crops([photos, renders], training)) == [0, 1, 2, 50, 51, 52]
    assert numbers(sheet_crops([None, renders], training)) == [50, 51, 52, 53, 54, 55]
    assert numbers(sheet_crops([None, None], training)) == [101, 102, 104, 105, 106, 107]
    assert numbers(sheet_crops([None], {"crop": crops(0, 2), "is_face": np.zeros(2)})) == [0, 1]


@pytest.fixture(scope="module")
def sheet_of(tiny_model):
    """The points of two random crops after the parameters were changed, and the sheet of them."""
    network = Network(stub.LinearEncoder(41), Correctives(81), (8, 8))
    params = run_once(network.init, jax.random.key(0))
    points_of = jax.jit(functools.partial(level_points, network), static_argnames="level")
    shown = np.random.default_rng(0).integers(0, 255, (2, 240, 240, 3), np.uint8)

    def make(level, change=lambda params: params):
        crops = jnp.asarray(shown, jnp.float32) / 255
        points = jax.device_get(points_of(change(params), tiny_model, crops=crops, level=level))
        return points, draw_sheet(tiny_model, shown, points)

    return make


def cell(sheet, row, column):
    return sheet[26 + CELL * row :][:200, CELL * column :][:, :200].astype(int)


def test_a_row_has_photo_levels_reflectance_and_geometry(sheet_of):
    points, sheet = sheet_of("full")
    assert sheet.shape == (26 + 2 * CELL, 5 * CELL, 3) and sheet.dtype == np.uint8
    for row in range(2):
        photo, base, final, reflectance, geometry = (cell(sheet, row, column) for column in range(5))
        np.testing.assert_array_equal(base, final)  # as training begins
        assert 0.05 < (base != photo).any(-1).mean() < 0.95  # the mesh is drawn on the photo
        assert np.ptp(geometry.reshape(-1, 3), axis=0).min() > 20 and (reflectance != geometry).any()


def test_the_last_level_is_whose_parts_are_shown(sheet_of):
    def redder(params):
        correctives = params["correctives"]
        offset = correctives["reflectance"]["offset"].at[:, 0].add(0.3)
        return {
            **params,
            "correctives": {**correctives, "reflectance": {**correctives["reflectance"], "offset": offset}},
        }

    (_, before), (_, after) = sheet_of("full"), sheet_of("full", redder)
    changed = [np.abs(cell(before, 0, column) - cell(after, 0, column)).max((0, 1)) for column in range(5)]
    assert not np.any([changed[column] for column in (0, 1, 4)])
    for column in (2, 3):
        assert changed[column][0] > 20 and not changed[column][1:].any()


def test_the_base_level_alone_has_no_column_for_the_other(sheet_of):
    points, sheet = sheet_of("base")
    assert list(points) == ["base"] and sheet.shape == (26 + 2 * CELL, 4 * CELL, 3)


def test_a_run_writes_them_every_so_many_steps_and_at_the_end_of_a_stage(tmp_path):
    stub.run(stub.small_config(steps=(3, 3), levels=["base", "full"], sheet_every=2), tmp_path)
    sheets = {path.name: cv2.imread(str(path)) for path in (tmp_path / "sheets").iterdir()}
    assert sorted(sheets) == [f"step_{step:06d}.png" for step in (2, 3, 4, 6)]
    assert {name: sheet.shape[1] // CELL for name, sheet in sheets.items()} == {
        "step_000002.png": 4,
        "step_000003.png": 4,
        "step_000004.png": 5,
        "step_000006.png": 5,
    }
    assert all(sheet.shape[0] == 26 + ROWS * CELL for sheet in sheets.values())
    first = [sheet[:, :CELL] for sheet in sheets.values()]
    assert all((photos == first[0]).all() for photos in first)
