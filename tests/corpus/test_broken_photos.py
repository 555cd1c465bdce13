"""More than a thousand broken files: each is a photo or one clear line, in little memory and time."""

import io
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageFile

from fml_jax.corpus import building as corpus
from fml_jax.corpus.building import PhotoMaker
from fml_jax.corpus.examples import Example, Rejected, Settings, make_example
from fml_jax.corpus.layouts import Photo
from fml_jax.errors import InputError
from fml_jax.photos.reading import MAX_PIXELS, read_photo
from tests.photos.test_reading import with_png_size

COUNT = 1200
MEGABYTES = 450  # a photo of MAX_PIXELS takes 192
SUFFIXES = ("jpg", "png", "webp", "bmp", "tif")
PILLOW_SUFFIXES = {"gif": "GIF", "heic": "HEIF", "avif": "AVIF"}
OTHERS = [
    b"P6 60000 60000 255\n" + bytes(100),
    b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n" + bytes(100),
    b"GIF89a" + struct.pack("<HH", 60000, 60000) + bytes(100),
    b"\x76\x2f\x31\x01" + bytes(100),
    b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(100),
    b"<svg width='60000' height='60000'/>",
    b"",
    b"\xff\xd8",
    bytes(5000),
]


def sound_files() -> dict[str, bytes]:
    """A picture in every format, in odd sizes."""
    y, x = np.mgrid[:80, :96]
    picture = np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)
    files = {suffix: cv2.imencode(f".{suffix}", picture)[1].tobytes() for suffix in SUFFIXES}
    files["lossless.webp"] = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    files["progressive.jpg"] = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    pillow_heif.register_heif_opener()
    for suffix, kind in PILLOW_SUFFIXES.items():
        content = io.BytesIO()
        Image.fromarray(picture[..., ::-1]).save(content, kind)
        files[suffix] = content.getvalue()
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, 6) + bytes(4)
    jpeg = files["jpg"]
    files["exif.jpg"] = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    return files


def break_file(content: bytes, rng: np.random.Generator) -> bytes:
    """The file cut off, with bytes changed (mostly in its header), with bytes left out or put in, or emptied."""
    data = bytearray(content)
    kind = rng.integers(6)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    if kind == 1:
        start = rng.integers(len(data))
        data[start : start + rng.integers(1, 200)] = b""
    elif kind == 2:
        start = rng.integers(len(data))
        data[start:start] = rng.bytes(rng.integers(1, 200))
    elif kind == 3:
        data[rng.integers(len(data)) :] = bytes(rng.integers(1, 4000))
    else:
        reach = len(data) if kind == 4 else min(64, len(data))
        for place in rng.integers(reach, size=rng.integers(1, 8)):
            data[place] = rng.choice([0, 255, rng.integers(256)])
    return bytes(data)


def broken_files(count: int):
    """(name, content), the same every time; every sixth has another format's ending."""
    rng, files = np.random.default_rng(0), list(sound_files().items())
    for k in range(count):
        name, content = files[k % len(files)]
        suffix = SUFFIXES[k % len(SUFFIXES)] if k % 6 == 0 else name.split(".")[-1]
        yield (
            f"{k:04d}.{suffix}",
            OTHERS[k // 50] if k % 50 == 0 and k // 50 < len(OTHERS) else break_file(content, rng),
        )


def read_all(folder: Path) -> dict:
    """Tries every broken file; run in a process of its own, whose memory is its own."""
    import resource

    read_photo(write(folder / "sound.jpg", sound_files()["jpg"]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, told = 0, 0
    for name, content in broken_files(COUNT):
        path = write(folder / name, content)
        try:
            rgb = read_photo(path)
            assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size <= 3 * MAX_PIXELS, name
            read += 1
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error), name
            told += 1
        path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    return {"read": read, "told": told, "megabytes": grown}


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kilobytes on Linux")
def test_no_broken_file_breaks_the_reader(tmp_path):
    program = [sys.executable, "-m", "tests.corpus.test_broken_photos", str(tmp_path)]
    result = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    counts = json.loads(result.stdout)
    assert counts["read"] + counts["told"] == COUNT and counts["told"] > COUNT / 3 and counts["read"] > 100
    assert counts["megabytes"] < MEGABYTES


def test_broken_photos_are_rows_of_the_rejected(tmp_path):
    make = PhotoMaker({"folder": Settings()})
    make.start()
    for name, content in broken_files(100):
        path = write(tmp_path / name, content)
        made = make(Photo(name, str(path), "folder", "nobody"))
        assert isinstance(made, (Example, Rejected))
        assert made.reason in ("unreadable", "no face", "no landmarks") and str(tmp_path) not in made.detail


@pytest.mark.parametrize("shape", [(32, 70_000), (70_000, 33), (32, 32)])
@pytest.mark.parametrize("off_centre", [None, 0.2])
def test_strips_and_dots_hold_no_face(shape, off_centre):
    made = make_example(
        np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8), Settings(off_centre=off_centre)
    )
    assert made.reason == "no face"


def test_what_opencv_fails_on_is_a_row(tmp_path, monkeypatch):
    def fail(*_, **__):
        cv2.resize(np.zeros((1, 1), np.uint8), (0, 0))

    monkeypatch.setattr(corpus, "make_example", fail)
    path = write(tmp_path / "a.jpg", sound_files()["jpg"])
    made = PhotoMaker({"folder": Settings()})(Photo("a", str(path), "folder", "nobody"))
    assert made.reason == "unreadable" and "OpenCV" in made.detail


def with_size_behind(content: bytes, mark: bytes, size: bytes) -> bytes:
    """The file with other bytes behind a mark of its header, in which ? stands for any byte."""
    end = re.search(re.escape(mark).replace(rb"\?", b"."), content, re.DOTALL).end()
    return content[:end] + size + content[end + len(size) :]


def test_sizes_are_told_before_anything_is_decoded(tmp_path, monkeypatch):
    files = sound_files()
    wide_tiff = with_size_behind(files["tif"], struct.pack("<HHI", 256, 3, 1), struct.pack("<I", 60_000))
    absurd = {
        "a.png": with_png_size(files["png"], 90_000, 90_000),
        "a.bmp": files["bmp"][:18] + struct.pack("<ii", 90_000, -90_000) + files["bmp"][26:],
        "a.webp": b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (16_382).to_bytes(3, "little") * 2,
        "a.tif": with_size_behind(wide_tiff, struct.pack("<HHI", 257, 3, 1), struct.pack("<I", 60_000)),
        "a.gif": with_size_behind(files["gif"], b"GIF8?a", struct.pack("<HH", 60_000, 60_000)),
        "a.heic": with_size_behind(files["heic"], b"ispe????", struct.pack(">II", 60_000, 60_000)),
        "a.avif": with_size_behind(files["avif"], b"ispe????", struct.pack(">II", 16_000, 16_000)),
    }
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    for name, content in absurd.items():
        with pytest.raises(InputError, match="too many"):
            read_photo(write(tmp_path / name, content))


if __name__ == "__main__":
    print(json.dumps(read_all(Path(sys.argv[1]))))
