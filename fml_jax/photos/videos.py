"""Reads frames of videos by number."""

import os
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # errors are reported by this module


def sampled_frames(path: str | os.PathLike, seconds: float) -> list[int]:
    """The numbers of frames that are `seconds` apart, from 0 on; [0] if the file does not state the video's length."""
    video = _open(path)
    count, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
    video.release()
    step = max(1, round(seconds * rate)) if rate > 0 else 1
    return list(range(0, count, step)) or [0]


class VideoReader:
    """Reads frames of videos; fast if they are requested in order.

    Every frame is reached by decoding all frames before it, because seeking is inexact in many formats.
    """

    def __init__(self) -> None:
        self._path: str | None = None
        self._video, self._next = cv2.VideoCapture(), 0

    def read(self, path: str | os.PathLike, frame: int) -> UInt8[np.ndarray, "H W 3"]:
        """One frame, RGB.

        Raises:
          InputError: the frame, or one before it, cannot be read.
        """
        if str(path) != self._path or frame < self._next:
            self._path, self._video, self._next = str(path), _open(path), 0
        while self._next < frame and self._video.grab():
            self._next += 1
        found, bgr = self._video.read() if self._next == frame else (False, None)
        self._next += 1
        if bgr is None or not found:
            self._path = None
            raise InputError(f"{path}: frame {frame} cannot be read; the video is cut short or of an unknown format")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def _open(path: str | os.PathLike) -> cv2.VideoCapture:
    name: Any = os.fsencode(path)  # as bytes, which OpenCV's annotations lack: text that is not UTF-8 ends the process
    return cv2.VideoCapture(name)
