"""Models written in the originals' layouts come back with the same vertices."""

import numpy as np
import pytest

from fml_jax.face_model import geometry, landmarks478, load_face_model
from fml_jax.importers import conversion
from fml_jax.importers.bfm2009 import read_bfm2009
from fml_jax.importers.bfm2017 import read_bfm2017
from fml_jax.importers.flame import read_flame
from fml_jax.importers.ict_facekit import read_ict
from fml_jax.importers.sources import import_face_model
from tests.importers import layouts

CLOSE = 1e-3  # mm


@pytest.fixture(scope="module")
def people():
    return layouts.open_population(6, 5, 4)


def _same(read, people, expression_start=0):
    np.testing.assert_allclose(read.mean, people.mean, atol=CLOSE)
    np.testing.assert_allclose(read.identity[: len(people.identity)], people.identity, atol=CLOSE)
    expression = read.expression[expression_start : expression_start + len(people.expression)]
    np.testing.assert_allclose(expression, people.expression, atol=CLOSE)
    # Counter-clockwise, in any order of the corners.
    np.testing.assert_array_equal(_rolled(read.triangles), _rolled(people.triangles))


def _rolled(triangles):
    first = triangles.argmin(1)
    return np.stack([triangles[np.arange(len(triangles)), (first + k) % 3] for k in range(3)], 1)


def test_bfm_2017_comes_back(tmp_path, people):
    read = read_bfm2017(layouts.write_bfm2017(tmp_path / "model2019_bfm.h5", people))
    _same(read, people)
    np.testing.assert_allclose(read.reflectance_mean, people.colour, atol=1e-6)
    np.testing.assert_allclose(read.reflectance, people.colours, atol=1e-6)


def test_bfm_2009_comes_back_in_mm_and_turned(tmp_path, people):
    read = read_bfm2009(layouts.write_bfm2009(tmp_path / "bfm", people))
    _same(read, people)
    np.testing.assert_allclose(read.reflectance, people.colours, atol=1e-6)
    assert any("turned" in note for note in read.notes)


def test_bfm_2009s_expressions_are_placed_by_the_trimmed_index(tmp_path, people):
    kept = len(people.mean) - 100
    read = read_bfm2009(layouts.write_bfm2009(tmp_path / "bfm", people, kept))
    np.testing.assert_allclose(read.expression[:, :kept], people.expression[:, :kept], atol=CLOSE)
    assert not read.expression[:, kept:].any()


def test_without_the_index_of_trimmed_vertices_the_file_of_expressions_is_left_out(tmp_path, people):
    folder = layouts.write_bfm2009(tmp_path / "bfm", people, len(people.mean) - 100)
    (folder / "BFM_exp_idx.mat").unlink()
    read = read_bfm2009(folder)
    assert read.expression is None and any("BFM_exp_idx.mat" in note for note in read.notes)


def test_without_deviations_directions_of_expressions_get_plausible_ones(tmp_path, people):
    folder = layouts.write_bfm2009(tmp_path / "bfm", people)
    (folder / "std_exp.txt").unlink()
    read = read_bfm2009(folder)
    sizes = np.sqrt((read.expression.astype(float) ** 2).sum((1, 2)) / len(people.mean))
    np.testing.assert_allclose(sizes, 1 / np.sqrt(1 + np.arange(len(sizes))), rtol=1e-3)


def test_the_80_64_80_model_comes_back_with_its_landmarks(tmp_path, people):
    marks = np.arange(68) * 7
    read = read_bfm2009(layouts.write_bfm_front(tmp_path / "BFM_model_front.mat", people, marks))
    _same(read, people)
    np.testing.assert_array_equal(read.landmarks68, marks)


@pytest.mark.parametrize("ending", ["pkl", "npz"])
def test_flame_comes_back_behind_the_modes_of_its_jaw(tmp_path, people, ending):
    read = read_flame(layouts.write_flame(tmp_path / f"flame.{ending}", people))
    _same(read, people, expression_start=3)
    opened = read.expression[0]
    chin = (people.mean[:, 1] < -50) & (people.mean[:, 2] > 60)
    assert opened[chin, 1].mean() < -3  # mm: the chin goes down
    assert np.abs(opened[people.mean[:, 1] > 0]).max() < CLOSE
    assert any("jaw" in note for note in read.notes)


def test_ict_facekits_folder_is_read_in_mm(ict_facekit):
    read = ict_facekit
    assert len(read.identity) == 3 and read.expression.shape == (4, len(read.mean), 3)
    assert 150 < np.ptp(read.mean[:, 0]) < 400
    names, codes = read.named_shapes
    assert {"jawOpen", "mouthSmileLeft", "eyeBlinkLeft"} <= set(names)
    opened = np.tensordot(codes[names.index("jawOpen")], read.expression, 1)
    assert opened[:, 1].min() < -15


def test_the_folder_of_ict_facekit_and_its_npz_file_are_the_same_model(ict_facekit, shared):
    folder, file = ict_facekit, read_ict(shared / "face_models" / "ict_facekit.npz")
    np.testing.assert_allclose(folder.mean, file.mean, atol=0.01)
    np.testing.assert_allclose(folder.identity, file.identity[:3], atol=0.06)
    np.testing.assert_array_equal(folder.landmarks68, file.landmarks68)


def test_an_import_has_the_open_models_faces_landmarks_and_masks(imported):
    model, open_model = load_face_model(imported.model), load_face_model()
    rng = np.random.default_rng(0)
    identity, expression = (rng.normal(size=n).astype(np.float32) for n in (6, 5))
    padded = [np.pad(identity, (0, 74)), np.pad(expression, (0, 59))]
    np.testing.assert_allclose(geometry(model, identity, expression), geometry(open_model, *padded), atol=CLOSE)
    marks, own = (landmarks478(each.landmarks, each.mean) for each in (model, open_model))
    np.testing.assert_allclose(marks, own, atol=0.01)
    for name, mask in open_model.regions.items():
        assert (np.asarray(model.regions[name]) != np.asarray(mask)).mean() < 1e-3, name
    assert "named shapes" in imported.result.stdout


def test_the_same_import_gives_the_same_bytes(imported, tmp_path, shared_registrations, monkeypatch):
    monkeypatch.setattr(conversion, "find_correspondence", shared_registrations)  # once more
    import_face_model("bfm2017", imported.original, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == imported.model.read_bytes()
