"""Files of strangers are read within bounds, or refused in one line before they take up memory."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from fml_jax import safe_npz
from fml_jax.errors import InputError
from fml_jax.safe_npz import check_headers, read_headers, read_npz, write_npz


def npy(array, **changes):
    """The bytes of an npy file, with its header's text changed."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array))
    content = file.getvalue()
    for old, new in changes.items():
        old, new = old.encode(), str(new).encode()
        content = content.replace(old, new)
    return content


def write_zip(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def written_by_us(path, **arrays):
    write_npz(path, arrays)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed, written_by_us])
def test_what_numpy_writes_is_read(tmp_path, write):
    arrays = {
        "a": np.arange(6, dtype=np.float16).reshape(2, 3),
        "text": np.array("å"),
        "none": np.zeros((0, 70_000, 3), np.float32),
        "masks": np.asfortranarray(np.eye(4, dtype=bool)),
    }
    write(tmp_path / "x.npz", **arrays)
    found = read_npz(tmp_path / "x.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert read_npz(tmp_path / "x.npz", names=["a", "other"]).keys() == {"a"}
    assert read_headers(tmp_path / "x.npz")["a"] == ((2, 3), np.dtype(np.float16), 12)


def test_measurements_are_stored_and_what_repeats_is_compressed(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"measured": rng.normal(size=(20_000, 3)), "zeros": np.zeros((20_000, 3)), "indices": np.arange(60_000)}
    write_npz(tmp_path / "x.npz", arrays)
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        sizes = {entry.filename: entry.compress_size / entry.file_size for entry in archive.infolist()}
    assert sizes["measured.npy"] == 1 and sizes["zeros.npy"] < 0.02 and sizes["indices.npy"] < 0.4


def test_a_bomb_is_refused_before_it_takes_memory(tmp_path):
    size = safe_npz.FREE + 2**25
    path = write_zip(tmp_path / "bomb.npz", {"a.npy": npy(np.zeros(size, np.uint8))}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    with pytest.raises(InputError, match="bomb.npz.*would unpack to"):
        read_npz(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_arrays_of_noughts_are_no_bomb(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros((10_000, 3)))
    assert read_npz(tmp_path / "x.npz")["a"].shape == (10_000, 3)


@pytest.mark.parametrize(
    "entries, reason",
    [
        ({"a.npy": npy(np.zeros(8), **{"(8,)": "(9,)"})}, "claims the shape"),
        ({"a.npy": npy(np.zeros(8), **{"(8,), }      ": "(-8, -1), }"})}, "claims the shape|no NumPy array"),
        ({"a.npy": npy(np.zeros(8), **{"<f8": "<c8"})}, "complex64"),
        ({"a.npy": npy(np.zeros(8), **{"'<f8'": "'|O' "})}, "object"),
        ({"a.npy": npy(np.zeros(2, [("x", "f4")]))}, "not plain numbers"),
        ({"a.npy": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65_535}, "no NumPy array"),
        ({"a.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 99}, "another header"),
        ({"a.npy": b""}, "no NumPy array"),
        ({"a.npy": npy(1.0), "a": npy(2.0)}, "twice"),
        ({f"{k}.npy": b"" for k in range(safe_npz.MAX_ARRAYS + 1)}, "arrays; at most"),
    ],
)
def test_what_is_no_plain_array_is_refused_in_one_line(tmp_path, entries, reason):
    path = write_zip(tmp_path / "x.npz", entries)
    with pytest.raises(InputError, match=f"x.npz: not a npz file .*({reason})") as caught:
        read_npz(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_without_a_bound_is_refused(tmp_path, method):
    path = write_zip(tmp_path / "x.npz", {"a.npy": npy(np.zeros(8))}, method)
    with pytest.raises(InputError, match="compressed in another way"):
        read_headers(path)


def test_damage_within_an_array_is_named(tmp_path):
    path = write_zip(tmp_path / "x.npz", {"a.npy": npy(np.arange(1000.0))})
    content = bytearray(path.read_bytes())
    content[4000] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match="x.npz.*Bad CRC"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", None])
def test_what_is_no_zip_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match="x.npz: no(t a| such) face file"):
        read_npz(tmp_path / "x.npz", "face file")
    with pytest.raises(InputError, match="no such face file"):
        read_npz(tmp_path, "face file")


def test_expected_arrays_are_compared_by_shape():
    headers = {"a": safe_npz.Header((2, 3), np.dtype("f4"), 24)}
    assert check_headers(headers, {"a": (2, 3)}) is None
    assert check_headers(headers, {"b": (1,)}) == "'b' is missing"
    assert "'a' has shape (2, 3), not (3, 2)" in check_headers(headers, {"a": (3, 2)})
