"""What a picture file says of itself before it is decoded: its size, and whether it is all there.

Decoders believe a header: thirty bytes that promise a gigapixel make them take the memory. So a file
is only given to a decoder once its size is known; formats whose headers are not read here are refused.
"""

import struct
from collections.abc import Callable, Iterator

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # headers that hold the picture's size
_JPEG_ALONE = frozenset([0x01, *range(0xD0, 0xD8)])  # markers without a segment
_PNG_START = b"\x89PNG\r\n\x1a\n"
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_TYPES = {3: "H", 4: "I"}

Size = tuple[int, int]  # height, width


def size_in_header(content: bytes) -> Size | None:
    """Height and width as a JPEG, PNG, WebP, BMP or TIFF header states them; None for other or damaged files."""
    try:
        for start, read_size in _FORMATS.items():
            if content.startswith(start):
                return read_size(content)
    except (struct.error, IndexError, KeyError):
        pass
    return None


def is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG ends before its picture does; decoders fill the rest with grey."""
    if content.startswith(_PNG_START):
        return b"IEND" not in content
    if content.startswith(_JPEG_START):
        scans = [start for marker, start in _jpeg_segments(content) if marker == _JPEG_SCAN]
        return not scans or content.rfind(_JPEG_END) < scans[0]
    return False


def _jpeg(content: bytes) -> Size | None:
    frames = (start for marker, start in _jpeg_segments(content) if marker in _JPEG_FRAMES)
    return next((struct.unpack_from(">HH", content, start + 3) for start in frames), None)


def _png(content: bytes) -> Size:
    width, height = struct.unpack_from(">II", content, 16)
    return height, width


def _bmp(content: bytes) -> Size:
    is_first_version = struct.unpack_from("<I", content, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if is_first_version else "<ii", content, 18)
    return abs(height), width


def _webp(content: bytes) -> Size | None:
    kind = content[8:16]
    if kind == b"WEBPVP8X":
        return 1 + int.from_bytes(content[27:30], "little"), 1 + int.from_bytes(content[24:27], "little")
    if kind == b"WEBPVP8L":
        bits = struct.unpack_from("<I", content, 21)[0]
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None


def _tiff(content: bytes) -> Size | None:
    order = "<" if content.startswith(b"II") else ">"
    directory = struct.unpack_from(order + "I", content, 4)[0]
    found = {}
    for k in range(struct.unpack_from(order + "H", content, directory)[0]):
        entry = directory + 2 + 12 * k
        tag, kind = struct.unpack_from(order + "HH", content, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            found[tag] = struct.unpack_from(order + _TIFF_TYPES[kind], content, entry + 8)[0]
    return found[_TIFF_HEIGHT], found[_TIFF_WIDTH]


_FORMATS: dict[bytes, Callable[[bytes], Size | None]] = {
    _JPEG_START: _jpeg,
    _PNG_START: _png,
    b"RIFF": _webp,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
}


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """(marker, start of the segment's length field) of each header segment, up to the first scan.

    As decoders do, goes over stray bytes to the next marker.
    """
    position = 2
    while 0 <= (position := content.find(b"\xff", position)) < len(content) - 3:
        marker = content[position + 1]
        if marker in (0x00, 0xFF) or marker in _JPEG_ALONE:
            position += 1 if marker == 0xFF else 2
            continue
        yield marker, position + 2
        if marker == _JPEG_SCAN:
            return
        position += 2 + max(2, struct.unpack_from(">H", content, position + 2)[0])
