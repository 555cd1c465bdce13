"""Frames of videos, counted and read by number."""

import os

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our one line says what is wrong


def sampled_frames(path: str | os.PathLike, seconds: float) -> list[int]:
    """The numbers of the frames that lie `seconds` apart, from 0; just [0] where the video does not tell its length."""
    video = _open(path)
    count, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
    video.release()
    step = max(1, round(seconds * rate)) if rate > 0 else 1
    return list(range(0, count, step)) or [0]


class VideoReader:
    """Reads frames of one video after the other; fast where they come in order.

    Every frame is reached by decoding all before it: seeking ends beside the frame asked for in many
    formats, and not always the same one.
    """

    def __init__(self):
        self._path, self._video, self._next = None, None, 0

    def read(self, path: str | os.PathLike, frame: int) -> UInt8[np.ndarray, "H W 3"]:
        """One frame, RGB.

        Raises:
          InputError: the video cannot be read up to there.
        """
        if str(path) != self._path or frame < self._next:
            self._path, self._video, self._next = str(path), _open(path), 0
        while self._next < frame and self._video.grab():
            self._next += 1
        found, bgr = self._video.read() if self._next == frame else (False, None)
        self._next += 1
        if not found:
            self._path = None
            raise InputError(f"{path}: frame {frame} cannot be read; the video is cut short or of an unknown format")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def _open(path: str | os.PathLike) -> cv2.VideoCapture:
    return cv2.VideoCapture(os.fsencode(path))  # as bytes: text that is not UTF-8 would end the process
