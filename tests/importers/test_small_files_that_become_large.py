"""Small files that would take much memory or time: each is refused before it does."""

import pickle
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from fml_jax.importers import mesh_files
from fml_jax.importers.bfm2009 import read_bfm2009
from fml_jax.importers.bfm2017 import read_bfm2017
from fml_jax.importers.flame import read_flame
from fml_jax.importers.hdf5 import read_hdf5
from fml_jax.importers.mesh_files import read_mesh
from fml_jax.importers.meshes import read_landmark_file
from fml_jax.importers.raw_model import RawModel, checked
from tests.importers.refusals import refused

# Pickles

_ARRAY = b"cnumpy.core.numeric\n_frombuffer\n"
_BYTES_TYPE = b"cnumpy\ndtype\nU\x02u1\x85R"


def _integer(value):
    """The instruction that pushes an integer of any size."""
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(content)) + content


def _model(entry):
    return b"\x80\x02}U\x0av_template" + entry + b"s."


def _text_encoded_often():
    """A text of 100 kB that is made into bytes 5,000 times, as REDUCE of `_codecs.encode`."""
    text = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"q\x00"
    return b"\x80\x02}U\x01a(" + text + b"c_codecs\nencode\nq\x01" + b"h\x01h\x00\x85R" * 5000 + b"ls."


def _integers_of_one_hash():
    """A table that is filled in quadratic time: all keys have the hash 0."""
    keys = b"".join(_integer((2**61 - 1) * k) + b"N" for k in range(1, 40_000))
    return b"\x80\x02}(" + keys + b"u."


def _text_joined_often():
    """A text of 100 kB that names a class of the same name 20,000 times, all of which are kept."""
    text = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"q\x00"
    return b"\x80\x04}U\x01a(" + text + b"h\x00h\x00\x93" * 20_000 + b"ls."


def _type_of_nested_tuples():
    """An array's type whose text has 2^60 letters."""
    nested = b")" + b"\x86".join([b"2"] * 60) + b"\x86"
    return _model(_ARRAY + b"(C\x01xcnumpy\ndtype\n" + nested + b"\x85RK\x01\x85U\x01CtR")


_PICKLES = {
    "zeros by their number": _model(
        _ARRAY + b"(" + _integer(10**10) + _BYTES_TYPE + _integer(10**10) + b"\x85U\x01CtR"
    ),
    "text that is encoded often": _text_encoded_often(),
    "text that is joined often": _text_joined_often(),
    "a type of nested tuples": _type_of_nested_tuples(),
    "keys of one hash": _integers_of_one_hash(),
    "sizes whose product takes hours": _model(
        _ARRAY + b"(C\x01x" + _BYTES_TYPE + _integer(1 << 4_000_000) + b"q\x00" + b"(" + b"h\x00" * 8 + b"tU\x01CtR"
    ),
}


@pytest.mark.parametrize("name", _PICKLES)
def test_a_pickle_that_grows_is_refused(tmp_path, name):
    path = tmp_path / "flame.pkl"
    path.write_bytes(_PICKLES[name])
    refused(read_flame, path, match="flame.pkl")


def test_an_error_about_a_name_with_a_line_break_is_one_line(tmp_path):
    path = tmp_path / "flame.pkl"
    name = b"X" + struct.pack("<I", 60) + b"os\n\x1b[31m" + b"a" * 52
    path.write_bytes(b"\x80\x04}\x8c\x0av_template" + name + b"\x8c\x01x\x93)Rs.")
    refused(read_flame, path, match="v_template")


def test_bytes_as_python_3_writes_them_for_python_2_are_read(tmp_path):
    from fml_jax.importers.pickles import numbers, read_pickle

    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"f": np.arange(250, 260)}, 2))
    np.testing.assert_array_equal(
        numbers(tmp_path / "a.pkl", read_pickle(tmp_path / "a.pkl"), "f"), np.arange(250, 260)
    )


# HDF5


def _deflated(size):
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def _h5_with_chunk(path, content, **options):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("shape/model/mean", (300,), "f4", chunks=(300,), **options)
        data.id.write_direct_chunk((0,), content)
    return path


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"fletcher32": True}])
def test_a_chunk_that_inflates_beyond_itself_is_refused(tmp_path, options):
    path = _h5_with_chunk(tmp_path / "bfm.h5", _deflated(400 << 20), compression="gzip", **options)
    assert path.stat().st_size < 1 << 20
    refused(read_hdf5, path, ["shape/model/mean"], match="would unpack to more")


def test_chunks_that_are_packed_twice_are_refused(tmp_path):
    with h5py.File(tmp_path / "bfm.h5", "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((300,))
        for _ in range(2):
            plan.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
        group = file.create_group("shape/model")
        data = h5py.h5d.create(group.id, b"mean", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((300,)), plan)
        data.write_direct_chunk((0,), zlib.compress(_deflated(400 << 20), 9))
    refused(read_hdf5, tmp_path / "bfm.h5", ["shape/model/mean"], match="packed in a way")


@pytest.mark.parametrize("options", [{"compression": "lzf"}, {"scaleoffset": 3}])
def test_other_ways_to_pack_are_refused(tmp_path, options):
    with h5py.File(tmp_path / "bfm.h5", "w") as file:
        file.create_dataset("shape/model/mean", data=np.ones(300, "f4"), chunks=(300,), **options)
    refused(read_bfm2017, tmp_path / "bfm.h5", match="packed in a way")


def test_an_array_in_millions_of_pieces_is_refused(tmp_path):
    with h5py.File(tmp_path / "bfm.h5", "w") as file:
        file.create_dataset("shape/model/mean", (10_000_000,), "f4", chunks=(1,))
    refused(read_bfm2017, tmp_path / "bfm.h5", match="pieces")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"shuffle": True, "fletcher32": True}])
def test_arrays_in_pieces_are_read_as_they_are(tmp_path, options):
    content = np.random.default_rng(0).normal(size=(70, 90))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=content, chunks=(32, 40), **options)
    np.testing.assert_array_equal(read_hdf5(tmp_path / "a.h5", ["a"])["a"], content)


# MATLAB


def test_whole_numbers_that_become_wide_ones_are_counted_as_wide(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"shapeMU": np.zeros((30_000_000, 1), np.uint8)}, do_compression=True)
    assert (tmp_path / "a.mat").stat().st_size < 1 << 20
    refused(read_bfm2009, tmp_path / "a.mat", match="its size allows")


def test_modes_of_a_vertex_are_not_spread_over_many(tmp_path):
    scipy.io.savemat(tmp_path / "BFM_exp_idx.mat", {"trimIndex": np.array([[1.0]])})
    (tmp_path / "Exp_Pca.bin").write_bytes(struct.pack("<i", 900) + np.ones(3 * 901, "<f4").tobytes())
    arrays = {f"{kind}{part}": np.ones((n, 1), np.float32) for kind in ("shape", "tex") for part, n in _PARTS.items()}
    triangles = np.arange(1, 150_001).reshape(-1, 3)
    scipy.io.savemat(tmp_path / "01_MorphableModel.mat", arrays | {"tl": triangles}, do_compression=True)
    refused(read_bfm2009, tmp_path, match="Exp_Pca.bin: its 900 modes of 1 vertices do not fit")


_PARTS = {"MU": 450_000, "PC": 450_000, "EV": 1}


# Meshes


def test_a_line_without_an_end_is_refused(tmp_path):
    (tmp_path / "a.obj").write_text("v " + "1 " * 5_000_000)
    refused(read_mesh, tmp_path / "a.obj", match="a line without an end")


def test_more_rows_than_a_face_has_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(mesh_files, "_MOST_ROWS", 1000)
    (tmp_path / "a.obj").write_text("v 0 0 0\n" * 5000)
    refused(read_mesh, tmp_path / "a.obj", match="over 1000 vertices")


def _header(form, *lines):
    return "\n".join(["ply", f"format {form} 1.0", *lines, "end_header", ""]).encode()


_XYZ = ("property float x", "property float y", "property float z")
_RGB = ("property float red", "property float green", "property float blue")
_LIST = "property list uchar int vertex_indices"
_PLYS = {
    "faces without corners": _header("binary_little_endian", "element vertex 1", *_XYZ, "element face 900000", _LIST)
    + bytes(12 + 900_000),
    "millions of lines of something else": _header(
        "ascii", "element vertex 1", *_XYZ, "element face 1", _LIST, "element edge 9000000", "property int a"
    )
    + b"0 0 0\n3 0 0 0\n",
    "faces that are no lists": _header(
        "ascii", "element vertex 3", *_XYZ, "element face 1", "property int vertex_indices"
    )
    + b"0 0 0\n1 0 0\n0 1 0\n0\n",
    "vertices that are lists": _header("ascii", "element vertex 1", _LIST, "element face 1", _LIST)
    + b"3 0 0 0\n3 0 0 0\n",
    "a line without an end": _header("ascii", "element vertex 1", *_XYZ, "element face 1", _LIST) + b"1 " * 1_000_000,
    "colours that are not finite": _header("ascii", "element vertex 3", *_XYZ, *_RGB, "element face 1", _LIST)
    + b"0 0 0 1 1 nan\n1 0 0 1 1 1\n0 1 0 1 1 1\n3 0 1 2\n",
}


@pytest.mark.parametrize("name", _PLYS)
def test_a_ply_file_that_cannot_be_is_refused(tmp_path, name):
    (tmp_path / "a.ply").write_bytes(_PLYS[name])
    refused(read_mesh, tmp_path / "a.ply", match="a.ply")


def test_a_long_file_of_landmarks_is_not_read_whole(tmp_path):
    path = tmp_path / "points.txt"
    with path.open("wb") as file:
        file.truncate(500 << 20)
    refused(read_landmark_file, path, match="68 numbers")


def test_a_vertex_with_many_triangles_in_a_large_mesh_is_refused():
    """Tables of neighbours would have 400,000 rows of 500."""
    spokes = np.arange(1, 502)
    fan = np.stack([np.zeros(500, int), spokes[:-1], spokes[1:]], axis=1)
    mean = np.zeros((400_000, 3), np.float32)
    mean[:502] = np.random.default_rng(0).normal(0, 50, (502, 3))
    model = RawModel("fan", mean, fan, np.broadcast_to(np.float32(0), (1, 400_000, 3)))
    refused(checked, Path("fan.ply"), model, match="500 triangles share one vertex, too many for a face of 400000")
    small = model._replace(mean=mean[:600], identity=model.identity[:, :600])
    assert checked(Path("fan.ply"), small) is small
