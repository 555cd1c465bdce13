"""Files that others read: each is read back here by a parser of a few lines."""

import os
from dataclasses import replace

import jax
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.export import read_code_file
from fml_jax.export.meshes import write_obj, write_ply

VERTICES = np.array([[0, 0, 0], [10.5, 0, 0], [0, -20.25, 3], [1, 2, 3]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [2, 1, 3]])
UV = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0.5], [0.25, 1]], np.float32)
UV_TRIANGLES = np.array([[0, 1, 2], [3, 4, 1]])


COLOURS = np.array([[0, 0.5, 1], [2, -1, 0.25], [0, 0, 0], [1, 1, 1]])
NORMALS = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0], [0.6, 0, -0.8]])


def test_an_obj_has_positions_colours_normals_and_texture_coordinates(tmp_path):
    path = tmp_path / "a.obj"
    write_obj(path, VERTICES, TRIANGLES, uv=UV, uv_triangles=UV_TRIANGLES, colours=COLOURS, normals=NORMALS)
    rows = [line.split() for line in path.read_text().splitlines()]

    def numbers(key):
        return np.array([[float(number) for number in row[1:]] for row in rows if row[0] == key])

    corners = np.array([[corner.split("/") for corner in row[1:]] for row in rows if row[0] == "f"], int) - 1
    np.testing.assert_allclose(numbers("v")[:, :3], VERTICES, atol=1e-4)
    np.testing.assert_allclose(numbers("v")[:, 3:], np.clip(COLOURS, 0, 1), atol=1e-4)
    np.testing.assert_allclose(numbers("vn"), NORMALS, atol=1e-4)
    np.testing.assert_allclose(numbers("vt"), UV, atol=1e-6)
    np.testing.assert_array_equal(corners[..., 0], TRIANGLES)
    np.testing.assert_array_equal(corners[..., 1], UV_TRIANGLES)
    np.testing.assert_array_equal(corners[..., 2], TRIANGLES)


def test_a_saved_mesh_is_coloured_and_its_normals_point_outwards(face, tmp_path):
    path = face.save(tmp_path / "someone.obj")[0]
    rows = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([row[1:] for row in rows if row[0] == "v"], float)
    normals = np.array([row[1:] for row in rows if row[0] == "vn"], float)
    np.testing.assert_allclose(vertices[:, 3:], np.clip(face.reflectance, 0, 1), atol=1e-4)
    assert vertices[:, 3:].std(axis=0).min() > 0.02 and vertices[:, 3].mean() > vertices[:, 5].mean()  # skin is reddish
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)
    nose = np.argmax(vertices[:, 2])
    assert normals[nose, 2] > 0.5
    outwards = np.einsum("nc,nc->n", normals, vertices[:, :3] - vertices[:, :3].mean(axis=0)) > 0
    assert outwards.mean() > 0.8


def test_ply_round_trip(tmp_path):
    write_ply(tmp_path / "a.ply", VERTICES, TRIANGLES, colours=COLOURS)
    head, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n")
    assert b"element vertex 4" in head and b"element face 2" in head and b"binary_little_endian" in head
    points = np.frombuffer(body[: 4 * 15], np.dtype([("p", "<f4", 3), ("c", "u1", 3)]))
    faces = np.frombuffer(body[4 * 15 :], np.dtype([("n", "u1"), ("k", "<i4", 3)]))
    np.testing.assert_array_equal(points["p"], VERTICES)
    np.testing.assert_array_equal(points["c"], [[0, 128, 255], [255, 0, 64], [0, 0, 0], [255, 255, 255]])
    np.testing.assert_array_equal(faces["k"], TRIANGLES)


def test_a_saved_face_reads_back(face, tmp_path):
    added = np.random.default_rng(0).normal(0, 0.1, face.reflectance.shape).astype(np.float32)
    face = replace(face, reflectance=face.reflectance + added, reflectance_corrections=added)
    paths = face.save(tmp_path, "someone")
    assert [path.name for path in paths] == [f"someone_0{end}" for end in (".npz", ".glb", "_overlay.png")]
    fields = read_code_file(paths[0])
    for name in (
        "vertices",
        "triangles",
        "reflectance",
        "reflectance_corrections",
        "landmarks68",
        "projected",
        "box",
        "illumination",
        "rotation",
    ):
        np.testing.assert_array_equal(fields[name], getattr(face, name))
    for found, written in zip(jax.tree.leaves(fields["code"]), jax.tree.leaves(face.code), strict=True):
        np.testing.assert_array_equal(found, written)
    assert fields["score"] == face.score and fields["model_version"] == face.model_version


def rewritten(path, **changes):
    with np.load(path) as file:
        fields = {**dict(file), **changes}
    np.savez(path, **{name: array for name, array in fields.items() if array is not None})


def test_a_file_from_before_corrections_reads_as_one_without(face, tmp_path):
    path = face.save(tmp_path, "someone")[0]
    rewritten(path, format_version=1, reflectance_corrections=None)
    fields = read_code_file(path)
    np.testing.assert_array_equal(fields["reflectance_corrections"], np.zeros_like(face.reflectance))


@pytest.mark.parametrize("changes, said", [({"format_version": 3}, "format 3"), ({"box": None}, "without box")])
def test_another_format_or_a_missing_field_is_named(face, tmp_path, changes, said):
    path = face.save(tmp_path, "someone")[0]
    rewritten(path, **changes)
    with pytest.raises(InputError, match=said):
        read_code_file(path)


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04"])
def test_what_is_no_reconstruction_is_named(tmp_path, content):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="x.npz"):
        read_code_file(path)


def test_a_code_of_a_wrong_shape_is_named(face, tmp_path):
    path = face.save(tmp_path, "someone")[0]
    for changes in ({"code": np.zeros(3, np.float32)}, {"score": np.zeros(2)}, {"code": np.zeros((), np.float32)}):
        rewritten(path, **changes)
        with pytest.raises(InputError, match="someone_0.npz: not a reconstruction"):
            read_code_file(path)
        face.save(tmp_path, "someone", overwrite=True)


def test_files_of_another_face_are_not_overwritten(face, tmp_path):
    before = [path.read_bytes() for path in face.save(tmp_path, "someone")]
    face.save(tmp_path, "someone")  # the same face again
    for other in (replace(face, source="another.jpg"), replace(face, box=face.box + 20)):
        with pytest.raises(InputError, match="someone_0.npz.*another face"):
            other.save(tmp_path, "someone")
        assert [path.read_bytes() for path in sorted_files(tmp_path)] == before
    assert replace(face, source="another.jpg").save(tmp_path, "someone", overwrite=True)


def sorted_files(folder):
    """In the order in which `save` returns them."""
    return [folder / f"someone_0{ending}" for ending in (".npz", ".glb", "_overlay.png")]


def test_a_failed_save_leaves_nothing(face, tmp_path):
    (tmp_path / "someone_0.glb").mkdir()  # where a file should be
    with pytest.raises(InputError, match="someone_0.glb: cannot be written"):
        face.save(tmp_path, "someone")
    assert [path.name for path in tmp_path.iterdir()] == ["someone_0.glb"]


def test_a_name_that_is_too_long_is_one_line_and_leaves_nothing(face, tmp_path):
    with pytest.raises(InputError, match="shorten the name"):
        face.save(tmp_path, "x" * 250)
    assert not list(tmp_path.iterdir())


def test_names_that_are_not_utf_8_can_be_saved_and_read(face, tmp_path):
    paths = replace(face, source="bad\udcff.jpg").save(tmp_path, "bad\udcff")
    assert {b"bad\xff_0.npz", b"bad\xff_0_overlay.png"} <= set(os.listdir(os.fsencode(tmp_path)))
    assert read_code_file(paths[0])["source"] == "bad\udcff.jpg"


@pytest.mark.parametrize("name", ["a.glb", "a.obj", "a.ply", "a.npz", "a.GLB"])
def test_a_files_own_name_chooses_its_format(face, tmp_path, name):
    for _ in range(2):  # a file that the caller names is replaced
        paths = face.save(tmp_path / "new" / name)
    assert paths[0] == tmp_path / "new" / name.lower()
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())


def test_a_folder_that_is_named_like_a_file_stays_a_folder(face, tmp_path):
    (tmp_path / "a.ply").mkdir()
    paths = face.save(tmp_path / "a.ply", "someone", formats="ply")
    assert paths == [tmp_path / "a.ply" / "someone_0.ply"]


def test_formats_of_a_folder_are_chosen_by_name(face, tmp_path):
    paths = face.save(tmp_path, "someone", formats=["camera", "ply", "ply"])
    assert [path.name for path in paths] == ["someone_0.ply", "someone_0_camera.json"]


@pytest.mark.parametrize("formats, said", [(["stl"], "'stl' is unknown; choose from npz, glb"), ([], "no format")])
def test_a_format_that_cannot_be_written_is_named(face, tmp_path, formats, said):
    with pytest.raises(InputError, match=said):
        face.save(tmp_path, formats=formats)
    assert not list(tmp_path.iterdir())


def test_a_stem_and_formats_belong_to_folders(face, tmp_path):
    for wish in ({"stem": "x"}, {"formats": ["ply"]}):
        with pytest.raises(InputError, match="a.glb: a single file; give the folder"):
            face.save(tmp_path / "a.glb", **wish)
