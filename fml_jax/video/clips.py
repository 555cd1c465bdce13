"""Clips: their frames with times, and new clips with the sound of another one."""

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError

_MP4_SOUND = ("aac", "mp3", "ac3", "eac3", "alac")  # codecs that MP4 players know; others are encoded again
_ENCODERS = ("libx264", "libopenh264", "mpeg4")  # the first that the installed PyAV has
_QUALITY = {"libx264": {"crf": "18", "preset": "veryfast"}}
_ELSE_BITS_PER_PIXEL = 0.25
_LARGEST_GAP = Fraction(10)  # seconds; damaged time stamps are further apart


class Frame(NamedTuple):
    """A frame as it is shown."""

    number: int  # from 0
    time: Fraction  # seconds from the first frame on
    rgb: UInt8[np.ndarray, "H W 3"]


class Clip:
    """A clip that can be read; its frames are decoded anew each time that they are asked for."""

    def __init__(self, path: str | Path) -> None:
        """Opens the clip once, to learn what it has.

        Raises:
          InputError: PyAV is not installed, or the file is missing, no video or damaged.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path}: no such file; check the path")
        with self._opened() as container:
            video = self._video(container)
            self.rate = Fraction(video.average_rate or video.guessed_rate or 25)
            self.has_sound = bool(container.streams.audio)
            self.expected = video.frames or self._by_duration(container, video)
        self.damaged_after: int | None = None  # frames that were read before the damage, once that is found

    def frames(self, count: int | None = None) -> Iterator[Frame]:
        """All frames in order, or the first `count`; those before the damage, if the file is damaged.

        Raises:
          InputError: not even the first frame can be decoded.
        """
        number, first, last = 0, None, Fraction(-1)
        with self._opened() as container:
            video = self._video(container)
            video.thread_type = "AUTO"
            try:
                for frame in itertools.islice(container.decode(video), count):
                    at = Fraction(number) / self.rate if frame.pts is None else frame.pts * frame.time_base
                    first = at if first is None else first
                    time = at - first
                    if not last < time <= last + _LARGEST_GAP:  # damaged time stamps
                        time = last + 1 / self.rate if number else Fraction(0)
                    last = time
                    yield Frame(number, time, _upright(frame))
                    number += 1
            except _errors() as error:
                self.damaged_after = number
                if not number:
                    raise self._unreadable(error) from None
        if not number and count != 0:
            raise self._unreadable("no frame")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        av = _library()
        try:
            container = av.open(str(self.path))
        except _errors() as error:
            raise self._unreadable(error) from None
        with container:
            yield container

    def _video(self, container: Any) -> Any:
        if not container.streams.video:
            raise InputError(f"{self.path}: has no pictures; give a clip with a video track")
        return container.streams.video[0]

    def _by_duration(self, container: Any, video: Any) -> int | None:
        """How many frames the clip's length makes, if it is known."""
        if video.duration:
            return round(video.duration * video.time_base * self.rate)
        return round(container.duration / 1_000_000 * self.rate) if container.duration else None

    def _unreadable(self, reason: object) -> InputError:
        return InputError(f"{self.path}: cannot be read as a video ({reason}); the file is damaged or of another kind")


class ClipWriter:
    """Writes an H.264 clip in MP4; a context manager.

    Raises:
      InputError: PyAV is not installed.
    """

    def __init__(self, path: Path, rate: Fraction, sound: Clip | None = None) -> None:
        """
        Args:
          path: the file is complete when the context ends without an error.
          rate: frames a second, about: each frame has its own time.
          sound: a clip whose sound is taken over, if it has any.
        """
        self._path, self._rate, self._sound_of = path, rate, sound
        self._stack = contextlib.ExitStack()
        self._video: Any = None
        self._sound: _Sound | None = None

    def __enter__(self) -> "ClipWriter":
        av = _library()
        self._container = self._stack.enter_context(av.open(str(self._path), "w", format="mp4"))
        return self

    def write(self, frame: Frame) -> None:
        """Adds a frame; all frames have one size, of which an odd last row or column is left out."""
        av = _library()
        height, width = (side - side % 2 for side in frame.rgb.shape[:2])
        if self._video is None:
            self._begin(width, height)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.rgb[:height, :width]), format="rgb24")
        picture.time_base = self._video.codec_context.time_base
        picture.pts = round(frame.time / picture.time_base)
        self._container.mux(self._video.encode(picture))
        if self._sound is not None:
            self._sound.write_until(frame.time + 1 / self._rate)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with self._stack:
            if self._video is not None and error is None:
                self._container.mux(self._video.encode(None))
                if self._sound is not None:
                    self._sound.finish()

    def _begin(self, width: int, height: int) -> None:
        av = _library()
        encoder = next(name for name in _ENCODERS if name in av.codecs_available)
        rate = self._rate.limit_denominator(1001)
        self._video = self._container.add_stream(encoder, rate=rate, options=_QUALITY.get(encoder, {}))
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.codec_context.time_base = Fraction(1, 90_000)
        if encoder not in _QUALITY:
            self._video.bit_rate = int(_ELSE_BITS_PER_PIXEL * width * height * rate)
        if self._sound_of is not None and self._sound_of.has_sound:
            source = self._stack.enter_context(av.open(str(self._sound_of.path)))
            self._sound = _Sound(source, self._container)


class _Sound:
    """Takes the first audio track of one container over into another, as it is or encoded again."""

    def __init__(self, source: Any, target: Any) -> None:
        self._target, track = target, source.streams.audio[0]
        video = source.streams.video[0]
        self._start = Fraction(0) if video.start_time is None else video.start_time * video.time_base
        self._copied = track.codec_context.name in _MP4_SOUND
        if self._copied:
            self._stream = target.add_stream_from_template(track)
        else:
            self._stream = target.add_stream("aac", rate=track.codec_context.sample_rate)
        self._packets = self._pieces(source, track)
        self._waiting: Any = None

    def write_until(self, time: Fraction | None) -> None:
        """Writes what is heard up to a time of the clip; None is its end."""
        while True:
            piece = self._waiting if self._waiting is not None else next(self._packets, None)
            self._waiting = piece
            if piece is None or (time is not None and piece[0] > time):
                return
            self._target.mux(piece[1])
            self._waiting = None

    def finish(self) -> None:
        """Ends the track."""
        if not self._copied:
            self._target.mux(self._stream.encode(None))

    def _pieces(self, source: Any, track: Any) -> Iterator[tuple[Fraction, Any]]:
        """(time, packets) of the track, times from the first frame of the video on; damaged ends are left out."""
        with contextlib.suppress(*_errors()):
            for packet in source.demux(track):
                if packet.dts is None:
                    continue
                time = packet.dts * packet.time_base - self._start
                if self._copied:
                    packet.stream = self._stream
                    yield time, packet
                else:
                    for frame in packet.decode():
                        frame.pts = None
                        yield time, self._stream.encode(frame)


def _upright(frame: Any) -> UInt8[np.ndarray, "H W 3"]:
    """The frame's pixels, turned as players turn them: phones store upright clips as lying ones with a note."""
    return np.rot90(frame.to_ndarray(format="rgb24"), round(getattr(frame, "rotation", 0) / 90) % 4)


def _library() -> Any:
    try:
        import av
    except ImportError:
        raise InputError("clips need the package av (PyAV); install it: pip install 'fml_jax[video]'") from None
    return av


def _errors() -> tuple[type[BaseException], ...]:
    av = _library()
    return (av.error.FFmpegError, ValueError, EOFError)
