"""Files that others read: each is read back here by a parser of a few lines."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.export import Page, read_code_file
from fml_jax.export.meshes import write_obj, write_ply

VERTICES = np.array([[0, 0, 0], [10.5, 0, 0], [0, -20.25, 3], [1, 2, 3]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [2, 1, 3]])
UV = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0.5], [0.25, 1]], np.float32)
UV_TRIANGLES = np.array([[0, 1, 2], [3, 4, 1]])


def test_obj_round_trip(tmp_path):
    write_obj(tmp_path / "a.obj", VERTICES, TRIANGLES, UV, UV_TRIANGLES)
    rows = [line.split() for line in (tmp_path / "a.obj").read_text().splitlines()]
    numbers = lambda key: np.array([[float(x) for x in row[1:]] for row in rows if row[0] == key])
    corners = np.array([[corner.split("/") for corner in row[1:]] for row in rows if row[0] == "f"], int) - 1
    np.testing.assert_allclose(numbers("v"), VERTICES, atol=1e-4)
    np.testing.assert_allclose(numbers("vt"), UV, atol=1e-6)
    np.testing.assert_array_equal(corners[..., 0], TRIANGLES)
    np.testing.assert_array_equal(corners[..., 1], UV_TRIANGLES)


def test_ply_round_trip(tmp_path):
    colours = np.array([[0, 0.5, 1], [2, -1, 0.25], [0, 0, 0], [1, 1, 1]])
    write_ply(tmp_path / "a.ply", VERTICES, TRIANGLES, colours)
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
    assert [path.name for path in paths] == [f"someone_0{end}" for end in (".npz", ".obj", ".ply", "_overlay.png")]
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
    for found, written in zip(jax.tree.leaves(fields["code"]), jax.tree.leaves(face.code)):
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


def test_the_page_shows_every_face_and_every_failure(face, tmp_path):
    page = Page(tmp_path)
    page.add(face, "<odd> name", face.save(tmp_path, "<odd> name"))
    text = page.write([("b.jpg", "b.jpg: no face <found>")]).read_text()
    assert text.count("<figure>") == 6 and "1 face<" in text and "no face &lt;found&gt;" in text
    import re
    from urllib.parse import unquote

    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(links) == 10 and all((tmp_path / unquote(link)).is_file() for link in links)
