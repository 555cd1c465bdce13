"""What all tests share: annotations checked as the code runs, a tiny face model, and the shared data."""

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import config, install_import_hook

import tests.type_checker  # noqa: F401 (the import hook refers to it by name)

gc.disable()  # until all modules are imported, which make a million objects that stay

# Set before JAX is imported, and for the programs that tests start. By default a GPU multiplies float32 in TF32, which
# is too coarse for these comparisons, and the first of several processes takes most of the GPU's memory.
if shutil.which("nvidia-smi"):
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# Annotated functions check the types and shapes of arguments and results while tests run: all of the package, since
# nothing of it is imported before.
install_import_hook("fml_jax", "tests.type_checker.checked")

from tests.compiled_programs import (  # noqa: E402
    compile_quickly,
    remove_old_programs,
    share_compiled_programs,
)

share_compiled_programs()

from flax import struct  # noqa: E402 (imports JAX)

# Fields of pytrees are not checked: JAX also fills them with axis numbers and placeholders, which are no arrays.
struct.PyTreeNode.__no_type_check__ = True

_SHARED = Path(__file__).parents[2] / "shared"
_COLLECTED_AFTER = 20_000, 20, 20  # new objects, collections of these, and so on: a trace makes a million that it frees
_NEEDS_SHARED = "needs the private photos in ../shared"
# Folders with files that take half a minute or longer.
_LONG_FOLDERS = ("training", "reconstruction", "video", "networks", "evaluation", "examples", "importers")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of private photos, videos and scans beside the repository; without it, tests are skipped."""
    if not _SHARED.is_dir():
        pytest.skip(_NEEDS_SHARED)
    return _SHARED


def pytest_configure(config):
    """Programs of fast tests run once or twice; the trainings of slow tests run theirs for long."""
    if config.option.markexpr != "slow":
        compile_quickly()


def pytest_sessionstart(session):
    """Old compiled programs are removed, by one of the processes."""
    if not hasattr(session.config, "workerinput"):  # which the worker processes of pytest-xdist have
        remove_old_programs()


def pytest_collection_modifyitems(items):
    """Long files first, so that at the end no process has one left while the other has nothing to do.

    With pytest-xdist this holds with `--no-loadscope-reorder` only.
    """
    items.sort(key=lambda item: item.path.parent.name not in _LONG_FOLDERS)


def pytest_collection_finish(session):
    """What the imports made is not looked through again at each collection of garbage."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(*_COLLECTED_AFTER)


def pytest_sessionfinish(session):
    """Where ../shared exists, a test that is skipped for want of it fails the run."""
    if _SHARED.is_dir() and _skipped_without_shared(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Counts the tests that ../shared would have enabled."""
    if count := _skipped_without_shared(terminalreporter.config):
        fault = "although that folder exists" if _SHARED.is_dir() else "which does not exist here"
        terminalreporter.section(
            f"{count} tests skipped: each {_NEEDS_SHARED}, {fault}", sep="!", yellow=True, bold=True
        )


def _skipped_without_shared(config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")  # None in the worker processes of pytest-xdist
    skipped = reporter.stats.get("skipped", []) if reporter else []
    return sum("../shared" in str(report.longrepr) for report in skipped)


@pytest.fixture
def unchecked(monkeypatch) -> None:
    """Functions accept arguments of wrong types, as they do for users: for tests of how they refuse these."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on a real file system of 2 MB; mounting one takes root."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def tiny_model():
    """See `make_tiny_model`."""
    from tests.tiny_face import make_tiny_model

    return make_tiny_model()


@pytest.fixture
def tiny_code(tiny_model):
    """A turned, tilted, lit face of the tiny model in front of its camera."""
    from tests.tiny_face import random_code

    return random_code(tiny_model, np.random.default_rng(3))


@pytest.fixture(scope="session")
def reconstructor():
    """The network that comes with the package."""
    from fml_jax import Reconstructor

    return Reconstructor.default()


@pytest.fixture(scope="session")
def face(reconstructor):
    """scikit-image's astronaut, reconstructed."""
    from skimage import data

    return reconstructor(data.astronaut())[0]
