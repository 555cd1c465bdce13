"""Photos from files and arrays: what is accepted, and the one line that says why something is not."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

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


def with_png_size(png: bytes, width: int, height: int) -> bytes:
    """The PNG with another size in its header; its pixels stay as they were."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


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
    assert_one_line(tmp_path, "not a file")
    assert_one_line(tmp_path / ("x" * 300 + ".jpg"), "cannot be read")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert_one_line(tmp_path / "pipe.jpg", "not a file")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
def test_truncated_files_are_refused(tmp_path, suffix, capfd):
    rgb = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    path = write(tmp_path / f"photo.{suffix}", rgb)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert_one_line(path, "damaged or cut short|not a picture")
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
    path.write_bytes(with_png_size(path.read_bytes(), 10_000, 10_000))
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
    for unusable, reason in (("", "an empty path"), ("a\0b", "null character"), ("x" * 300, "too long")):
        with pytest.raises(InputError, match=reason):
            list_photos(unusable)
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="no photos in this folder"):
        list_photos(tmp_path / "void")


def assert_one_line(path, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read_photo(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


NOT_UTF8 = os.fsdecode(b"bad\xff.jpg")


def test_names_that_are_not_unicode_are_read_and_reported(tmp_path):
    path = tmp_path / NOT_UTF8
    path.write_bytes(encoded(Image.fromarray(picture()), "JPEG"))
    assert list_photos(tmp_path) == [path] == list_photos(str(tmp_path / "*.jpg"))
    assert read_photo(path).shape == read_photo(str(path)).shape == (48, 64, 3)
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bad\\udcff.jpg: not a picture") as caught:
        read_photo(path)
    str(caught.value).encode()  # can be printed


def encoded(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def animation(kind):
    """The picture, then black."""
    first = Image.fromarray(picture())
    return encoded(first, kind, save_all=True, append_images=[Image.new("RGB", first.size)], duration=100)


@pytest.mark.parametrize(
    "name, tolerance",
    [("a.heic", 12), ("a.avif", 12), ("a.gif", 40), ("animated.gif", 40), ("animated.png", 0), ("animated.webp", 40)],
)
def test_kinds_that_phones_and_the_web_use(tmp_path, name, tolerance):
    import pillow_heif

    pillow_heif.register_heif_opener()
    kind = {"heic": "HEIF", "jpg": "JPEG"}.get(name.split(".")[1], name.split(".")[1].upper())
    content = animation(kind) if name.startswith("animated") else encoded(Image.fromarray(picture()), kind)
    path = tmp_path / name
    path.write_bytes(content)
    difference = np.abs(read_photo(path).astype(int) - picture())
    assert difference.max() <= tolerance and list_photos(tmp_path) == [path]


MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I;16", "F")


def image_of_mode(mode):
    """The picture in one of Pillow's modes, and what it shows as RGB."""
    image = Image.fromarray(picture())
    grey = np.asarray(image.convert("L"))
    shown = np.repeat(grey[..., None], 3, axis=2)
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257), shown
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255), shown
    if mode == "1":
        black_and_white = Image.fromarray(picture()[..., 0] > 127)
        return black_and_white, 255 * (picture()[..., :1] > 127).repeat(3, axis=2)
    steps = {"La": ["LA"], "PA": ["P"], "RGBa": ["RGBA"]}.get(mode, [])
    for step in [*steps, mode]:
        image = image.convert(step)
    return image, shown if mode in ("L", "LA", "La") else picture()


@pytest.mark.parametrize("mode", MODES)
def test_pillow_images_of_every_mode_show_what_they_show(mode):
    image, shown = image_of_mode(mode)
    tolerance = {"P": 60, "PA": 60, "YCbCr": 3, "HSV": 8}.get(mode, 0)
    assert np.abs(as_rgb(image).astype(int) - shown).max() <= tolerance


@pytest.mark.parametrize(
    "mode, kind",
    [("1", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("I;16", "PNG"), ("1", "TIFF"), ("I;16", "TIFF"), ("F", "TIFF")]
    + [("P", "BMP"), ("1", "BMP"), ("CMYK", "TIFF"), ("CMYK", "JPEG")],
)
def test_files_of_every_mode_show_what_they_show(tmp_path, mode, kind):
    image, shown = image_of_mode(mode)
    (tmp_path / "photo").write_bytes(encoded(image, kind))
    tolerance = {"P": 60, "CMYK": 40 if kind == "JPEG" else 0}.get(mode, 0)
    assert np.abs(read_photo(tmp_path / "photo").astype(int) - shown).max() <= tolerance


def test_pillow_images_that_hold_no_colours_are_refused():
    with pytest.raises(InputError, match="photo: int32 numbers are no colours"):
        as_rgb(Image.fromarray(picture()).convert("I"))
    with pytest.raises(InputError, match="too small"):
        as_rgb(Image.new("RGB", (10, 10)))


def test_pillow_images_are_turned_upright(tmp_path):
    path = write(tmp_path / "photo.jpg", picture())
    path.write_bytes(with_orientation(path.read_bytes(), 6))
    np.testing.assert_array_equal(as_rgb(Image.open(path)), read_photo(path))
    assert read_photo(path).shape == (64, 48, 3)


def test_damaged_metadata_does_not_matter(tmp_path):
    jpeg = encoded(Image.fromarray(picture()), "JPEG", icc_profile=b"no profile", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    (tmp_path / "photo.jpg").write_bytes(jpeg)
    assert read_photo(tmp_path / "photo.jpg").shape == (48, 64, 3)


def test_colour_profiles_are_applied(tmp_path):
    """A profile whose red is sRGB's green, and the other way round; sRGB's own changes nothing."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"_XYZ").replace(b"gXYZ", b"rXYZ").replace(b"_XYZ", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    for profile, shown in ((srgb, picture()), (swapped, picture()[..., [1, 0, 2]])):
        (tmp_path / "photo.png").write_bytes(encoded(Image.fromarray(picture()), "PNG", icc_profile=profile))
        assert np.abs(read_photo(tmp_path / "photo.png").astype(int) - shown).max() <= 1


def test_heic_without_its_library_names_the_remedy(tmp_path, monkeypatch):
    import sys

    import pillow_heif

    pillow_heif.register_heif_opener()
    (tmp_path / "photo.heic").write_bytes(encoded(Image.fromarray(picture()), "HEIF"))
    monkeypatch.delitem(Image.OPEN, "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert_one_line(tmp_path / "photo.heic", "HEIC needs pillow-heif; run: pip install")
