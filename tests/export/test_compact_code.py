"""`.fml` files: what goes in comes out, what is damaged or of another model is named."""

import struct
import zlib
from dataclasses import replace

import jax
import numpy as np
import pytest
from absl import logging

from fml_jax import load_face
from fml_jax.codes import FinalCode
from fml_jax.errors import InputError
from fml_jax.export.compact_code import compact_face, encoded, read_compact_face
from fml_jax.face_model.correctives import Correctives, init_correctives
from fml_jax.face_model.learned import FaceModel
from fml_jax.image_formation.camera import to_camera

MUCH_EXPRESSION = 20.0  # standard deviations: how long a wide smile is in the open model's modes


@pytest.fixture(scope="module")
def saved(face, tmp_path_factory):
    return face.save(tmp_path_factory.mktemp("fml") / "face.fml")[0]


def rendered(face):
    return {kind: face.render(kind, 240) for kind in ("geometry", "reflectance", "shading", "overlay")}


def test_a_saved_face_renders_as_before(face, saved):
    again = load_face(saved, face.photo)
    for name in ("vertices", "reflectance", "landmarks68", "projected", "triangles"):
        np.testing.assert_allclose(getattr(again, name), getattr(face, name), atol=2e-3)
    assert (again.name, again.index, again.model_version) == (face.name, face.index, face.model_version)
    assert again.score == pytest.approx(face.score) and again.box == pytest.approx(face.box)
    before, after = rendered(face), rendered(again)
    for kind in before:
        assert np.abs(before[kind].astype(int) - after[kind]).mean() < 0.05


def test_without_the_photo_a_face_is_shown_on_black(face, saved):
    again = load_face(saved)
    assert again.photo.shape == face.photo.shape and not again.photo.any()
    np.testing.assert_array_equal(again.render("geometry"), load_face(saved, face.photo).render("geometry"))


def test_an_npz_file_becomes_the_same_face_too(face, tmp_path):
    added = np.random.default_rng(0).normal(0, 0.05, face.reflectance.shape).astype(np.float32)
    face = replace(face, reflectance=face.reflectance + added, reflectance_corrections=added)
    again = load_face(face.save(tmp_path / "face.npz")[0], face.photo)
    for kind, picture in rendered(face).items():
        np.testing.assert_array_equal(picture, again.render(kind, 240))


def positions(model, code):
    from fml_jax.face_model.base import geometry

    return np.asarray(to_camera(geometry(model, code.identity, code.expression), code.rotation, code.translation))


def final_face(face, rng, sizes):
    """A face with strong parameters everywhere."""
    code = face.code.replace(
        identity=rng.normal(0, 1.2, 80).astype(np.float32),
        expression=np.concatenate([[MUCH_EXPRESSION], rng.normal(0, 3, 63)]).astype(np.float32),
        reflectance=rng.normal(0, 1.2, 80).astype(np.float32),
    )
    delta = [rng.normal(size=size).astype(np.float32) for size in sizes]
    return compact_face(face)._replace(code=FinalCode(code, *delta, np.asarray(code.illumination) + 0.1))


def test_sizes_are_those_of_the_paper_and_less(face, saved):
    base = compact_face(face.level("base"))
    assert len(encoded(base)) < 1300 and len(encoded(base, quantised=True)) < 600
    assert saved.stat().st_size < 2200 and len(encoded(compact_face(face), quantised=True)) < 900
    both = final_face(face, np.random.default_rng(0), (500, 500))
    assert len(encoded(both)) <= 5300
    assert len(encoded(both, quantised=True)) < 1500


def test_quantising_moves_no_vertex_by_a_tenth_of_a_millimetre(face, tmp_path):
    for seed in range(3):
        compact = final_face(face, np.random.default_rng(seed), (500, 500))
        (tmp_path / "a.fml").write_bytes(encoded(compact, quantised=True))
        read = read_compact_face(tmp_path / "a.fml").code
        moved = positions(face.model, read.base) - positions(face.model, compact.code.base)
        assert np.linalg.norm(moved, axis=1).max() < 0.1
        # Corrections of 1 mm a vertex: the paper's spread of δ at the start.
        modes = np.random.default_rng(9).normal(0, 500**-0.5, (500, 2000, 3))
        change = np.tensordot(read.geometry - compact.code.geometry, modes, 1)
        assert np.linalg.norm(change, axis=1).max() < 0.1


def test_both_levels_come_back_with_the_learned_model_alone(face, tmp_path):
    base, sizes = face.model, (4, 3)
    correctives = Correctives(base.vertex_count)
    theta = init_correctives(correctives, sizes, jax.random.key(0))
    model = FaceModel(base, theta, np.zeros(7), np.eye(7), 0)
    compact = final_face(face, np.random.default_rng(1), sizes)
    path = tmp_path / "a.fml"
    path.write_bytes(encoded(compact))
    again = load_face(path, model=model)
    added = correctives.apply({"params": theta}, compact.code.geometry, compact.code.reflectance)
    plain = load_face(face.save(tmp_path / "b.fml")[0])
    level = again.level("base")
    np.testing.assert_allclose(again.reflectance - level.reflectance, added.reflectance, atol=1e-4)
    np.testing.assert_allclose(level.illumination, compact.code.base.illumination, atol=1e-6)
    assert encoded(compact_face(again)) == path.read_bytes()
    np.testing.assert_array_equal(again.illumination, compact.code.illumination)
    assert np.abs(np.asarray(added.geometry)).max() > 0.5
    bare = np.asarray(again.vertices) - np.asarray(added.geometry)
    expected = np.asarray(positions(base, compact.code.base.replace(rotation=np.zeros(3), translation=np.zeros(3))))
    np.testing.assert_allclose(bare, expected, atol=1e-2)
    assert plain.model is not model
    with pytest.raises(InputError, match="a.fml: a face with a final level .* give the learned model"):
        load_face(path)


def changed(content, place, value):
    """A file with one changed byte and a checksum that fits."""
    body = bytearray(content[:-4])
    body[place] = value
    return bytes(body) + struct.pack("<I", zlib.crc32(bytes(body)))


@pytest.mark.parametrize("seed", range(20))
def test_any_damaged_byte_is_noticed(saved, tmp_path, seed):
    content, rng = bytearray(saved.read_bytes()), np.random.default_rng(seed)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    (tmp_path / "a.fml").write_bytes(bytes(content))
    with pytest.raises(InputError, match="a.fml"):
        load_face(tmp_path / "a.fml")


def test_cut_and_foreign_files_are_named(saved, tmp_path):
    content, path = saved.read_bytes(), tmp_path / "a.fml"
    for bad in (b"", b"FML", content[:-1], content[:100], b"\x89PNG" + content[4:], content + b"\0"):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="a.fml: (not a .fml file|damaged)"):
            load_face(path)
    with pytest.raises(InputError, match="none.fml: cannot be read"):
        load_face(tmp_path / "none.fml")


def test_another_version_says_what_to_do(saved, tmp_path):
    (tmp_path / "a.fml").write_bytes(changed(saved.read_bytes(), 3, 9))
    with pytest.raises(InputError, match="version 9 of .fml files, this program reads 1; update"):
        load_face(tmp_path / "a.fml")


@pytest.mark.parametrize("place", range(4, 22))
def test_headers_that_lie_are_refused_or_harmless(saved, tmp_path, place):
    """With a checksum that fits: flags, sizes and the photo's size."""
    for value in (0, 2, 3, 255):
        (tmp_path / "a.fml").write_bytes(changed(saved.read_bytes(), place, value))
        try:
            load_face(tmp_path / "a.fml")
        except InputError as error:
            assert "a.fml" in str(error)


def test_the_wrong_face_model_is_named(saved, face, tmp_path):
    with pytest.raises(InputError, match="made with the face model fml-open-face.* but this is another"):
        load_face(saved, model=face.model.replace(name="another"))


def test_another_photo_is_refused(saved, face):
    with pytest.raises(InputError, match="512×512 pixels; give that photo"):
        load_face(saved, face.photo[:100])


def test_corrections_of_vertices_are_dropped_with_a_message(face, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *arguments: said.append(text % arguments))
    face.save(tmp_path / "a.fml")
    assert not said
    refined = replace(face, reflectance_corrections=np.full_like(face.reflectance, 0.1))
    refined.save(tmp_path / "a.fml")
    assert len(said) == 1 and said[0].startswith("a.fml: without the refinement's corrections")
    assert not load_face(tmp_path / "a.fml").reflectance_corrections.any()
