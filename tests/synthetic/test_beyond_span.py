"""Faces beyond the span: no code reaches what is hidden, and what is stored is what is shown."""

import numpy as np
import pytest

from fml_jax.codes import unflatten_code
from fml_jax.corpus.card import open_corpus
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.corpus.records import decode, read_shard
from fml_jax.face_model import load_face_model
from fml_jax.face_model.displacement_subspace import beyond_base
from fml_jax.face_model.topology import neighbour_counts, one_ring_sum
from fml_jax.image_formation.points import form_points_of
from fml_jax.ops.images import eight_bits, unit_range
from fml_jax.synthetic import rendering
from fml_jax.synthetic.beyond_span import hidden_population
from fml_jax.synthetic.faces import build_synthetic
from fml_jax.synthetic.rendering import render_synthetic


@pytest.fixture(scope="module")
def population(model):
    return hidden_population(model)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("beyond") / "faces"
    build_synthetic(model, place, 3, seed=4, workers=1, beyond=True, truth=True)
    return place


@pytest.fixture(scope="module")
def examples(folder):
    return [decode(record) for path in open_corpus(folder).shard_paths() for record in read_shard(path)]


def left_by_modes(fields, modes, members):
    """Of each field [M, N, 3], the share of its length over the members that modes cannot fit."""
    columns = np.asarray(modes, float)[:, members].reshape(len(modes), -1).T
    targets = np.asarray(fields, float)[:, members].reshape(len(fields), -1).T
    fit = columns @ np.linalg.solve(columns.T @ columns, columns.T @ targets)
    return np.linalg.norm(targets - fit, axis=0) / np.linalg.norm(targets, axis=0)


def test_hidden_modes_are_out_of_reach(model, population):
    face = np.asarray(model.regions["face"])
    shapes = np.concatenate([model.identity, model.expression])
    assert left_by_modes(population.geometry, shapes, face).min() > 1 - 1e-6
    assert left_by_modes(population.reflectance, model.reflectance, face).min() > 1 - 1e-6
    assert left_by_modes(model.identity[3:5], shapes, face).max() < 1e-4  # the measure tells those within reach


def test_hidden_geometry_lies_along_the_normals_in_the_room_beyond_the_base(model, population):
    subspace = beyond_base(model)
    for field in population.geometry:
        np.testing.assert_allclose(subspace.project(field), field, atol=1e-4)


def test_hidden_modes_are_smooth_and_end_with_the_face(model, population):
    """Hardly rougher than the roughest of the base's own modes; the back of the head stays as it is."""
    face, behind = np.asarray(model.regions["face"]), np.asarray(model.mean)[:, 2] < -60
    counts = np.asarray(neighbour_counts(model.topology))[:, None]

    def roughness(field):
        around = np.asarray(one_ring_sum(field.astype(np.float32), model.topology)) / counts
        return np.linalg.norm(field - around, axis=1)[face].mean() / np.linalg.norm(field, axis=1)[face].mean()

    roughest = max(roughness(np.asarray(mode)) for mode in (*model.identity, *model.expression))
    for field in (*population.geometry, *population.reflectance):
        assert roughness(field) < 1.5 * roughest
        assert np.linalg.norm(field[face], axis=1).max() == pytest.approx(1)
        assert np.linalg.norm(field[behind], axis=1).max() < 1e-3


def test_people_differ_about_a_mean_of_their_own(model, population):
    rng = np.random.default_rng(0)
    people = [population.draw(model, rng) for _ in range(60)]
    face = np.asarray(model.regions["face"])
    shapes, skins = (
        np.stack([np.asarray(getattr(person, name) - getattr(model, name)) for person in people])[:, face]
        for name in ("mean", "reflectance_mean")
    )
    # Measured: 1.44 mm and 0.143. The span of the first edition held less: with it, it was over 1.5 mm.
    for changes, least in ((shapes, 1.4), (skins, 0.14)):
        assert np.linalg.norm(changes.mean(axis=0), axis=1).mean() > least
        assert np.linalg.norm(changes - changes.mean(axis=0), axis=2).mean() > 0.1 * least
    assert people[0].identity is model.identity


def test_the_population_is_the_same_each_time(model, population):
    again = hidden_population(model)
    for name, part in vars(population).items():
        np.testing.assert_array_equal(getattr(again, name), part)


def test_crops_show_the_stored_truth(model, units, population, monkeypatch):
    """At the nose, the crop has the colours of the stored vertices and reflectance under the code's illumination."""
    monkeypatch.setattr(rendering, "photographed", lambda rng, picture: eight_bits(picture))
    face = render_synthetic(model, units, np.random.default_rng(3), population=population)
    fewer = load_face_model(detail="face")

    def gaps(vertices, reflectance):
        points = form_points_of(fewer.topology, vertices, reflectance, code=unflatten_code(face.code, model.code_sizes))
        inner = np.asarray(points.visible & fewer.regions["nose"]) & (np.asarray(points.normals)[:, 2] < -0.5)
        x, y = np.rint(np.asarray(points.pixels)[inner]).astype(int).T
        return np.median(np.abs(unit_range(face.crop[y, x]) - np.clip(np.asarray(points.colours)[inner], 0, 1)))

    assert gaps(*face.truth) < 0.02 < gaps(face.truth.vertices, np.asarray(fewer.reflectance_mean))


def test_records_keep_the_truth(model, units, population, examples):
    for k, example in enumerate(examples):
        face = render_synthetic(model, units, np.random.default_rng([4, k]), population=population)
        np.testing.assert_allclose(example.truth.vertices, face.truth.vertices, atol=0.0051)
        np.testing.assert_allclose(example.truth.reflectance, face.truth.reflectance, atol=0.000051)
        np.testing.assert_array_equal(example.code, face.code)
        np.testing.assert_array_equal(example.landmarks68, face.landmarks)


def test_batches_give_the_truth_on_request(folder, examples):
    batch = CorpusBatches(folder, "all", 3, jitter=0.0, truth=True).batch(0)
    order = [int(np.flatnonzero([(each.code == code).all() for each in examples])[0]) for code in batch["code"]]
    assert sorted(order) == [0, 1, 2]
    for name in ("vertices", "reflectance"):
        np.testing.assert_array_equal(batch[name], np.stack([getattr(examples[k].truth, name) for k in order]))
    assert not {"vertices", "reflectance"} & CorpusBatches(folder, "all", 3).batch(0).keys()
