"""Files of strangers: nothing in them is run, none takes more memory than its size allows, each gives one line."""

import os
import pickle
import pickletools
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from fml_jax.errors import InputError
from fml_jax.face_model import load_face_model, load_face_parts
from fml_jax.face_model.files import OPEN_MODEL
from fml_jax.importers.bfm2009 import read_bfm2009
from fml_jax.importers.bfm2017 import read_bfm2017
from fml_jax.importers.flame import read_flame
from fml_jax.importers.hdf5 import read_hdf5
from fml_jax.importers.ict_facekit import VERTICES, read_ict
from fml_jax.importers.matlab import read_matlab
from fml_jax.importers.mesh_files import read_mesh
from fml_jax.importers.meshes import read_landmark_file, read_meshes
from fml_jax.importers.pickles import numbers, read_pickle
from fml_jax.importers.sources import read_source
from tests.importers import layouts
from tests.importers.refusals import refused


@pytest.fixture(scope="module")
def people():
    """300 vertices of the open model with the triangles between them, twice as many modes as axes."""
    whole = layouts.open_population(3, 3, 3)
    used = np.unique(whole.triangles[:400])
    place = np.full(len(whole.mean), -1)
    place[used] = np.arange(len(used))
    return layouts.Population(
        whole.mean[used],
        place[whole.triangles[:400]].astype(np.int32),
        whole.identity[:, used],
        whole.expression[:, used],
        whole.colour[used],
        whole.colours[:, used],
    )


class _Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


# Pickles


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, os.mkdir])
def test_what_a_pickle_calls_is_not_called(tmp_path, protocol, function):
    mark = tmp_path / "mark"
    text = {os.system: f"mkdir {mark}", eval: f"__import__('os').mkdir({str(mark)!r})", os.mkdir: str(mark)}[function]
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps({"v_template": _Calls(function, text)}, protocol))
    refused(read_flame, path, match="'v_template' is no array")
    assert not mark.exists()


def test_a_pickle_that_is_a_call_itself_is_refused(tmp_path):
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps(_Calls(os.mkdir, str(tmp_path / "mark")), 2))
    refused(read_flame, path, match="no dictionary")
    assert not (tmp_path / "mark").exists()


def _key_of_nested_tuples():
    """A dictionary's key whose hash takes 2^60 steps."""
    return b"\x80\x02}q\x00" + b")" + b"\x86".join([b"2"] * 60) + b"\x86K\x01s."


_HUGE = 1 << 60
_PROGRAMS = {
    "a number in memory": b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"}.",
    "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", _HUGE) + b"x.",
    "text that is not there": b"\x80\x04\x8d" + struct.pack("<Q", _HUGE) + b"x.",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", _HUGE) + b"}.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent name": b"\x80\x02U\x01xQ.",
    "an instance": b"(ios\nsystem\n.",
    "an object": b"(cos\nsystem\nS'true'\no.",
    "nothing on the stack": b"\x80\x02.",
    "no mark": b"\x80\x02K\x01u.",
    "a key of nested tuples": _key_of_nested_tuples(),
    "a state of a number": b"\x80\x02K\x01K\x02b.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "no end": b"\x80\x02}",
    "no pickle": b"hello",
    "nothing": b"",
    "too many instructions": b"\x80\x02" + b"N0" * 300_000 + b"}.",
    "a number of many digits": b"I" + b"9" * 400_000 + b"\n.",
}


@pytest.mark.parametrize("name", _PROGRAMS)
def test_a_hostile_pickle_is_refused(tmp_path, name):
    path = tmp_path / "flame.pkl"
    path.write_bytes(_PROGRAMS[name])
    refused(read_flame, path, match="flame.pkl")


def _with_shape(shape):
    """A pickled array that claims another shape than it has."""
    program = pickle.dumps({"v_template": np.zeros(3)}, 2)
    whole = pickletools.optimize(program)
    one = b"K\x03\x85"  # the tuple (3,)
    assert whole.count(one) == 1
    return whole.replace(one, b"\x8a\x08" + struct.pack("<q", shape) + b"\x85")


@pytest.mark.parametrize("shape", [1 << 40, 4, -1])
def test_a_pickled_array_of_another_shape_than_its_content_is_refused(tmp_path, shape):
    path = tmp_path / "flame.pkl"
    path.write_bytes(_with_shape(shape))
    refused(read_flame, path, match="v_template")


def refuses_regressor(tmp_path, matrix, match):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"J_regressor": matrix}, 2))
    refused(lambda: numbers(path, read_pickle(path), "J_regressor"), match=match)


def test_a_sparse_matrix_of_immense_shape_is_refused(tmp_path):
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix._shape = (1 << 31, 1 << 31)
    refuses_regressor(tmp_path, matrix, match="J_regressor")


def test_a_sparse_matrix_with_entries_outside_is_refused(tmp_path):
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    matrix.indices[:] = 7
    refuses_regressor(tmp_path, matrix, match="outside its shape")


@pytest.mark.parametrize("starts", [np.array([0, 100, 3, 3], np.uint32), np.array([0.0, 1.0, 2.0, 3.0])])
def test_a_sparse_matrix_whose_rows_do_not_begin_in_order_is_refused(tmp_path, starts):
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    matrix.indptr = starts
    refuses_regressor(tmp_path, matrix, match="sparse entries")


def test_a_sparse_matrix_of_itself_is_refused(tmp_path):
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    matrix.data = matrix
    refuses_regressor(tmp_path, matrix, match="J_regressor")


def test_an_array_of_objects_is_refused(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"f": np.array([{}, None], object)}, 2))
    refused(lambda: numbers(path, read_pickle(path), "f"), match="no number")


# HDF5


def _h5(tmp_path, fill):
    path = tmp_path / "bfm.h5"
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def test_an_hdf5_dataset_that_is_mostly_a_claim_is_refused(tmp_path):
    path = _h5(tmp_path, lambda file: file.create_dataset("shape/model/mean", (10**10,), "f4", chunks=(1000,)))
    refused(read_bfm2017, path, match="its size allows")


def test_an_hdf5_chunk_that_is_larger_than_its_dataset_is_refused(tmp_path):
    def fill(file):
        file.create_dataset("shape/model/mean", (3,), "f4", chunks=(500_000_000,), maxshape=(None,), compression="gzip")

    refused(read_bfm2017, _h5(tmp_path, fill), match="its size allows")


def test_hdf5_links_to_other_files_are_not_followed(tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["mean"] = np.ones(3)

    def fill(file):
        file["shape/model/mean"] = h5py.ExternalLink(str(secret), "mean")

    refused(read_hdf5, _h5(tmp_path, fill), ["shape/model/mean"], match="link")


def test_hdf5_data_in_other_files_is_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(100))

    def fill(file):
        file.create_dataset("shape/model/mean", (10,), "f4", external=[(str(tmp_path / "secret"), 0, 40)])

    refused(read_hdf5, _h5(tmp_path, fill), ["shape/model/mean"], match="another file")


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(500), b"hello"])
def test_damaged_hdf5_is_refused(tmp_path, content):
    (tmp_path / "bfm.h5").write_bytes(content)
    refused(read_bfm2017, tmp_path / "bfm.h5", match="bfm.h5")


def _changed(array, change):
    array = np.array(array)
    change(array)
    return array


@pytest.mark.parametrize(
    "name, change, match",
    [
        ("shape/model/mean", lambda a: _changed(a, lambda b: b.__setitem__(0, np.nan)), "not finite"),
        ("shape/model/pcaBasis", lambda a: _changed(a, lambda b: b.__setitem__((0, 0), np.inf)), "not finite"),
        ("shape/model/pcaVariance", lambda a: -a, "no variances"),
        ("shape/model/pcaBasis", lambda a: a.T, "has shape"),
        ("shape/model/mean", lambda a: a[:-1], "triples"),
        ("color/model/mean", lambda a: a[:-3], "vertices"),
        ("shape/representer/cells", lambda a: a + 10_000, "name vertices"),
        ("shape/representer/cells", lambda a: a - 1, "name vertices"),
        ("shape/representer/cells", lambda a: a[:2], "cells"),
        ("shape/representer/cells", lambda a: a.astype(float), "cells"),
        ("shape/representer/cells", lambda a: np.zeros((3, 2000), int), "share one vertex"),
        ("shape/model/pcaBasis", None, "lacks"),
        ("shape/model/mean", lambda a: a.astype(float) * 1e30, "unit"),
        ("shape/model/mean", lambda a: a.astype(float) * 1e60, "not finite"),
        ("shape/model/pcaVariance", lambda a: a * 1e20, "unit"),
        ("shape/model/mean", lambda a: a * np.tile([1, 1, 0], len(a) // 3).astype(a.dtype), "one plane"),
    ],
)
def test_arrays_of_bfm_2017_that_cannot_be_are_named(tmp_path, people, name, change, match):
    path = layouts.write_bfm2017(tmp_path / "bfm.h5", people)
    with h5py.File(path, "a") as file:
        array = file[name][()]
        del file[name]
        if change is not None:
            file[name] = change(array)
    refused(read_bfm2017, path, match=f"bfm.h5.*{match}")


@pytest.mark.parametrize("uv", [1.0, np.zeros(6), np.zeros((4, 3)), np.full((4, 2), np.nan)])
def test_texture_coordinates_that_cannot_be_are_named(tmp_path, people, uv):
    path = layouts.write_bfm2017(tmp_path / "bfm.h5", people)
    with h5py.File(path, "a") as file:
        file["metadata/uv"], file["metadata/uv_cells"] = uv, np.zeros_like(file["shape/representer/cells"][()])
    refused(read_bfm2017, path, match="bfm.h5.*(texture coordinates|uv)")


# MATLAB


def _matlab_bomb(path, unpacked):
    """A compressed variable that unpacks to so many bytes."""
    packer = zlib.compressobj(9)
    packed = packer.compress(struct.pack("<II", 14, unpacked))
    for _ in range(unpacked >> 20):
        packed += packer.compress(bytes(1 << 20))
    packed += packer.flush()
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    return path


def test_a_matlab_bomb_is_refused_before_it_unpacks(tmp_path):
    path = _matlab_bomb(tmp_path / "01_MorphableModel.mat", 400 << 20)
    assert path.stat().st_size < 1 << 20
    refused(read_bfm2009, path, match="its size allows")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_what_is_no_matlab_file_is_refused(tmp_path, content):
    (tmp_path / "01_MorphableModel.mat").write_bytes(content)
    refused(read_bfm2009, tmp_path / "01_MorphableModel.mat", match="MATLAB")


def test_a_cut_matlab_file_is_refused(tmp_path, people):
    folder = layouts.write_bfm2009(tmp_path / "bfm", people)
    path = folder / "01_MorphableModel.mat"
    path.write_bytes(path.read_bytes()[:5000])
    refused(read_bfm2009, path, match="01_MorphableModel")


def test_cells_and_structures_are_no_arrays(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"shapeMU": np.array([{}, 1], object), "other": {"x": 1}})
    assert read_matlab(tmp_path / "a.mat", ["shapeMU", "other"]) == {}
    refused(read_bfm2009, tmp_path / "a.mat", match="neither 'shapeMU'")


@pytest.mark.parametrize(
    "name, change, match",
    [
        ("shapePC", lambda a: a[:-3], "has shape"),
        ("shapeMU", lambda a: a * np.nan, "not finite"),
        ("tl", lambda a: a - 1, "names vertices 0"),
        ("tl", lambda a: a + 10_000, "names vertices"),
        ("texEV", lambda a: a[:-1], "has shape"),
        ("tl", lambda a: a + 0.5, "no whole numbers"),
        ("tl", lambda a: a * np.nan, "no whole numbers"),
        ("tl", lambda a: a * 1e300, "no whole numbers"),
    ],
)
def test_arrays_of_bfm_2009_that_cannot_be_are_named(tmp_path, people, name, change, match):
    folder = layouts.write_bfm2009(tmp_path / "bfm", people)
    path = folder / "01_MorphableModel.mat"
    arrays = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    scipy.io.savemat(path, arrays | {name: change(arrays[name])})
    refused(read_bfm2009, folder, match=f"01_MorphableModel.mat.*{match}")


@pytest.mark.parametrize("head", [-1, 0, 2**31 - 1, 2])
def test_a_file_of_expressions_that_does_not_hold_what_it_claims_is_refused(tmp_path, people, head):
    folder = layouts.write_bfm2009(tmp_path / "bfm", people)
    content = (folder / "Exp_Pca.bin").read_bytes()
    (folder / "Exp_Pca.bin").write_bytes(struct.pack("<i", head) + content[4:-8])
    refused(read_bfm2009, folder, match="Exp_Pca.bin")


# FLAME as npz, and model files


def test_an_npz_bomb_is_refused(tmp_path):
    path = tmp_path / "flame.npz"
    np.savez_compressed(path, v_template=np.zeros((10_000_000, 3), np.float32))
    assert path.stat().st_size < 1 << 20
    refused(read_flame, path, match="unpack")


@pytest.mark.parametrize(
    "name, change, match",
    [
        ("f", lambda a: a + 10_000, "names vertices"),
        ("shapedirs", lambda a: a[:-1], "do not fit"),
        ("weights", lambda a: a[:, :2], "do not fit"),
        ("posedirs", lambda a: a[:, :, :3], "posedirs"),
        ("v_template", lambda a: a * np.inf, "not finite"),
        ("J_regressor", lambda a: a[:, :-1], "J_regressor"),
        ("f", lambda a: a + 0.5, "no whole numbers"),
        ("f", lambda a: a[:0], "'f' has shape"),
        ("weights", lambda a: a * 1e300, "unit|not finite"),
        ("v_template", lambda a: a.astype(str), "not finite numbers"),
    ],
)
def test_arrays_of_flame_that_cannot_be_are_named(tmp_path, people, name, change, match):
    arrays = layouts.flame_arrays(people)
    with np.errstate(invalid="ignore"):
        np.savez(tmp_path / "flame.npz", **arrays | {name: change(arrays[name])})
    refused(read_flame, tmp_path / "flame.npz", match=f"flame.npz.*{match}")


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"landmarks478_vertices": np.full((478, 3), 60_000)}, "outside 0…11759"),
        ({"quads": np.full((11638, 4), 11760)}, "outside 0…11759"),
        ({"contour_candidates": np.array([-1])}, "outside 0…11759"),
        ({"landmarks68_from_478": np.arange(67)}, "67 entries, not 68"),
        ({"quads": np.zeros((11638, 4), int)}, "share one vertex"),
    ],
)
def test_a_model_file_with_impossible_numbers_is_named(tmp_path, changes, match):
    with np.load(OPEN_MODEL, allow_pickle=False) as file:
        np.savez(tmp_path / "m.npz", **{name: file[name] for name in file.files} | changes)
    with pytest.raises(InputError, match=f"m.npz.*{match}"):
        load_face_model(tmp_path / "m.npz")


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"part_triangles": np.full((4, 3), 99_999)}, "'part_triangles' names vertices outside"),
        ({"part_of_vertex": np.full(10_000, 7)}, "shape|outside"),
        ({"part_identity": np.zeros((3, 9, 3), np.int16)}, "'part_identity.*does not fit"),
        ({"part_mean": np.full((9, 3), np.nan)}, "part_mean|does not fit"),
    ],
)
def test_impossible_teeth_of_a_model_file_are_named(tmp_path, changes, match):
    with np.load(OPEN_MODEL, allow_pickle=False) as file:
        np.savez(tmp_path / "m.npz", **{name: file[name] for name in file.files} | changes)
    with pytest.raises(InputError, match=f"m.npz.*({match})"):
        load_face_parts(tmp_path / "m.npz")


def test_triangles_between_two_parts_of_a_head_are_named(tmp_path):
    with np.load(OPEN_MODEL, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["part_triangles"][0] = [0, 1, len(arrays["part_mean"]) - 1]
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(InputError, match="m.npz: 'part_triangles' joins vertices of two parts"):
        load_face_parts(tmp_path / "m.npz")


# Meshes

_OBJS = {
    "a vertex that is not there": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n",
    "a vertex before the first": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -9\n",
    "no number": "v 0 0 x\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "not finite": "v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "a face of many corners": "v 0 0 0\n" + "f " + "1 " * 100_000,
    "a face of two corners": "v 0 0 0\nf 1 1\n",
    "texture coordinates that are not there": "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/9\n",
    "no faces": "v 0 0 0\n",
    "vertices in the plane": "v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", _OBJS)
def test_a_damaged_obj_file_is_refused(tmp_path, name):
    (tmp_path / "a.obj").write_text(_OBJS[name])
    refused(read_mesh, tmp_path / "a.obj", match="a.obj")


def _ply(vertices, faces, form="binary_little_endian", content=b""):
    return (
        f"ply\nformat {form} 1.0\nelement vertex {vertices}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode() + content


_PLYS = {
    "vertices that are not there": _ply(10**12, 1),
    "fewer bytes than vertices": _ply(300, 1),
    "a negative count": _ply(-3, 1),
    "fewer lines than vertices": _ply(30, 1, "ascii", b"0 0 0\n"),
    "another format": _ply(3, 1, "text"),
    "no end of the header": b"ply\nformat ascii 1.0\n" + b"comment x\n" * 1000,
    "a face of many corners": _ply(1, 1, content=bytes(12) + b"\xff" + bytes(2000)),
    "a vertex that is not there": _ply(1, 1, content=bytes(12) + b"\x03" + struct.pack("<iii", 0, 0, 9)),
    "a type that is none": b"ply\nformat ascii 1.0\nelement vertex 1\nproperty object x\nend_header\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", _PLYS)
def test_a_damaged_ply_file_is_refused(tmp_path, name):
    (tmp_path / "a.ply").write_bytes(_PLYS[name])
    refused(read_mesh, tmp_path / "a.ply", match="a.ply")


@pytest.mark.parametrize("text", ["", "1 2 3", "a " * 68, "1 " * 69, "9" * 200_000])
def test_a_landmark_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "points.txt").write_text(text)
    refused(read_landmark_file, tmp_path / "points.txt", match="points.txt.*68 numbers")


def test_a_landmark_file_may_have_brackets_commas_and_lines(tmp_path):
    (tmp_path / "points.txt").write_text("[" + ",\n".join(map(str, range(67))) + ", -1]")
    np.testing.assert_array_equal(read_landmark_file(tmp_path / "points.txt"), [*range(67), -1])


def test_meshes_that_are_not_in_correspondence_are_named(tmp_path, people):
    folder = tmp_path / "meshes"
    folder.mkdir()
    marks = np.arange(68)
    refused(read_meshes, folder, marks, match="0 meshes")
    layouts.write_obj(folder / "a.obj", people.mean, people.triangles)
    layouts.write_obj(folder / "b.obj", people.mean[:-1], people.triangles[:10])
    refused(read_meshes, folder, marks, match="b.obj.*vertices")
    layouts.write_obj(folder / "b.obj", people.mean, people.triangles[1:])
    refused(read_meshes, folder, marks, match="b.obj.*correspondence")
    layouts.write_obj(folder / "b.obj", people.mean, people.triangles)
    refused(read_meshes, folder, marks + 10_000, match="landmark")


def test_an_ict_folder_that_is_none_is_named(tmp_path, people):
    refused(read_ict, tmp_path, match="generic_neutral_mesh.obj")
    layouts.write_obj(tmp_path / "generic_neutral_mesh.obj", people.mean, people.triangles)
    refused(read_ict, tmp_path, match="identity000.obj")
    layouts.write_obj(tmp_path / "identity000.obj", people.mean, people.triangles)
    refused(read_ict, tmp_path, match="26719")


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"neutral": np.full((VERTICES, 3), "a")}, "'neutral' holds"),
        ({"quads": np.zeros((0, 4), int)}, "'quads' is missing or has another shape"),
        ({"quads": np.full((5, 4), VERTICES)}, "names vertices outside"),
        ({"expression_names": np.array(["</script>"])}, "no name of a shape"),
        ({"expression_names": np.array(["a", "b"])}, "2 names"),
        ({"vertex_indices": np.array('{"idx_to_landmark_verts": [1e999]}')}, "landmark"),
    ],
)
def test_arrays_of_ict_facekit_that_cannot_be_are_named(tmp_path, changes, match):
    rng = np.random.default_rng(0)
    arrays = {
        "neutral": rng.normal(size=(VERTICES, 3)),
        "identity": np.zeros((1, VERTICES, 3), np.float16),
        "expressions": np.zeros((1, VERTICES, 3), np.float16),
        "expression_names": np.array(["jawOpen"]),
        "quads": np.arange(400).reshape(100, 4),
        "uv": np.zeros((4, 2)),
        "uv_quads": np.zeros((100, 4), int),
    }
    np.savez(tmp_path / "ict.npz", **arrays | changes)
    refused(read_ict, tmp_path / "ict.npz", match=f"ict.npz.*{match}")


@pytest.mark.parametrize("name", ["meanshape", "idBase", "exBase"])
def test_numbers_that_leave_single_precision_are_one_line(tmp_path, people, name):
    path = layouts.write_bfm_front(tmp_path / "front.mat", people, np.arange(68))
    arrays = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    scipy.io.savemat(path, arrays | {name: np.float32(3e38) * np.sign(arrays[name])})
    refused(read_source, "bfm2009", path, match="front.mat.*not finite")


def test_sources_and_paths_that_are_none_are_named(tmp_path):
    refused(read_source, "bfm", tmp_path, match="unknown; choose")
    refused(read_source, "flame", tmp_path / "none.pkl", match="no such file or folder")
    refused(read_source, "meshes", tmp_path, match="needs --landmarks")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_in_pickles_of_any_protocol_are_read(tmp_path, protocol, order):
    whole = np.arange(24, dtype=">f8").reshape(2, 3, 4).copy(order)
    content = layouts.ordered({"f": whole, "J_regressor": scipy.sparse.csc_matrix(np.eye(4, 3)), "bs_type": "lbs"})
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    read = read_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(numbers(tmp_path / "a.pkl", read, "f"), whole)
    np.testing.assert_array_equal(numbers(tmp_path / "a.pkl", read, "J_regressor"), np.eye(4, 3))
