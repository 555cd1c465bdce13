"""Photos from files and arrays: what is accepted, and the one line that says why something is not."""

import struct

import cv2
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.photos.reading import MAX_PIXELS, as_rgb, list_photos, read_photo


def picture(height=48, width=64):
    """A smooth RGB picture that is different at each of its corners."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.rint(255 * np.stack([x, y, 1 - x * y], axis=-1)).astype(np.uint8)


def write(path, rgb):
    assert cv2.imwrite(str(path), rgb[..., ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb)
    return path


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF segment that holds nothing but the orientation."""
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, orientation) + bytes(4)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_files_come_back_as_they_were(tmp_path, suffix):
    rgb = picture()
    np.testing.assert_array_equal(read_photo(write(tmp_path / f"photo.{suffix}", rgb)), rgb)


@pytest.mark.parametrize(
    "orientation, upright",
    [
        (3, lambda rgb: rgb[::-1, ::-1]),
        (6, lambda rgb: np.rot90(rgb, -1)),
        (8, lambda rgb: np.rot90(rgb, 1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, upright):
    path = write(tmp_path / "photo.jpg", picture())
    plain = read_photo(path)
    path.write_bytes(with_orientation(path.read_bytes(), orientation))
    np.testing.assert_array_equal(read_photo(path), upright(plain))


def test_grey_alpha_and_16_bits_become_8_bit_rgb(tmp_path):
    rgb = picture()
    grey = read_photo(write(tmp_path / "grey.png", rgb[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(rgb[..., :1], 3, axis=2))
    transparent = np.dstack([rgb[..., ::-1], np.zeros(rgb.shape[:2], np.uint8)])
    np.testing.assert_array_equal(read_photo(write(tmp_path / "alpha.png", transparent)), rgb)
    deep = rgb.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_photo(write(tmp_path / "deep.png", deep)), rgb)


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("empty.jpg", b"", "empty"),
        ("text.jpg", b"this is no picture", "not a picture"),
    ],
)
def test_files_that_are_no_pictures(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    assert_one_line(path, reason)


def test_missing_files_and_folders(tmp_path):
    assert_one_line(tmp_path / "missing.jpg", "cannot be read")
    assert_one_line(tmp_path, "cannot be read")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
def test_truncated_files_are_refused(tmp_path, suffix, capfd):
    rgb = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    path = write(tmp_path / f"photo.{suffix}", rgb)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert_one_line(path, "cut short|not a picture")
    assert capfd.readouterr().err == ""  # the decoders keep quiet


def test_an_embedded_thumbnail_does_not_hide_a_truncation(tmp_path):
    path = write(tmp_path / "photo.jpg", picture())
    jpeg = path.read_bytes()
    thumbnail = b"\xff\xe1" + struct.pack(">H", len(jpeg) + 2) + jpeg
    path.write_bytes(jpeg[:2] + thumbnail + jpeg[2:])
    assert read_photo(path).shape == (48, 64, 3)
    path.write_bytes(jpeg[:2] + thumbnail + jpeg[2 : len(jpeg) - 200])
    assert_one_line(path, "cut short")


def test_sizes_out_of_bounds(tmp_path):
    assert_one_line(write(tmp_path / "dot.png", picture(1, 1)), "too small")
    path = write(tmp_path / "huge.png", picture())
    content = path.read_bytes()  # the header alone says 10,000 × 10,000: nothing is decoded
    path.write_bytes(content[:16] + struct.pack(">II", 10_000, 10_000) + content[24:])
    assert_one_line(path, "too many")
    with pytest.raises(InputError, match="too many"):
        as_rgb(np.broadcast_to(np.uint8(0), (MAX_PIXELS // 1000 + 1, 1000)))


def test_arrays_of_each_kind():
    rgb = picture()
    for same in (rgb, rgb.astype(np.uint16) * 257, rgb / 255, (rgb / 255).astype(np.float32)):
        np.testing.assert_array_equal(as_rgb(same), rgb)
    np.testing.assert_array_equal(as_rgb(np.dstack([rgb, rgb[..., 0]])), rgb)
    np.testing.assert_array_equal(as_rgb(rgb[..., 0]), np.repeat(rgb[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    "array, reason",
    [
        (np.zeros((3, 64, 64)), "shape"),
        (np.zeros(64), "shape"),
        (np.full((64, 64, 3), 2.0), "outside"),
        (np.full((64, 64, 3), np.nan), "outside"),
        (np.zeros((64, 64, 3), np.int64), "int64 numbers"),
        (np.zeros((64, 64, 3), bool), "bool numbers"),
        (np.zeros((1, 1, 3), np.uint8), "too small"),
        (np.zeros((0, 0, 3), np.uint8), "too small"),
    ],
)
def test_arrays_that_are_no_pictures(array, reason):
    with pytest.raises(InputError, match=f"frame 7: .*{reason}"):
        as_rgb(array, "frame 7")


def test_list_photos(tmp_path):
    (tmp_path / "person").mkdir()
    for name in ("b.JPG", "a.png", "person/c.webp", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).touch()
    found = [tmp_path / name for name in ("a.png", "b.JPG", "person/c.webp")]
    assert list_photos(tmp_path) == found
    assert list_photos(found[0]) == found[:1]
    assert list_photos(tmp_path / "*.png") == found[:1]
    for nothing in (tmp_path / "nowhere", tmp_path / "*.tif"):
        with pytest.raises(InputError, match="no such"):
            list_photos(nothing)
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="no photos in this folder"):
        list_photos(tmp_path / "void")


def assert_one_line(path, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read_photo(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_photos_of_kinds_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "moving.gif").write_bytes(b"GIF89a" + bytes(100))
    (found,) = list_photos(tmp_path)
    with pytest.raises(InputError, match="moving.gif: not a picture that can be read; use a JPEG"):
        read_photo(found)
