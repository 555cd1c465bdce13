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
    return make_tiny_model()


def make_tiny_model():
    """A bulging patch of 9×9 vertices with two or three modes of each kind, all random but smooth."""
    import jax.numpy as jnp

    from fml_jax.face_model.base import BaseModel
    from fml_jax.face_model.landmarks import Landmarks
    from fml_jax.face_model.topology import make_topology

    rng = np.random.default_rng(0)
    side = 9
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    mean = np.stack([70 * x, -90 * y, 60 * np.cos(x) * np.cos(y)], axis=-1).reshape(-1, 3)
    k = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (k[:-1, :-1], k[1:, :-1], k[1:, 1:], k[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    count = side * side

    def modes(number, scale):
        waves = rng.normal(size=(number, 3, 2))
        phase = np.einsum("kcw,wn->knc", waves, np.stack([x.ravel(), y.ravel()]))
        return jnp.asarray(scale * np.sin(phase + rng.normal(size=(number, 1, 3))), jnp.float32)

    def on_mesh(*shape):
        vertices = triangles[rng.integers(len(triangles), size=shape)]
        return jnp.asarray(vertices, jnp.int32), jnp.asarray(rng.dirichlet(np.ones(3), size=shape), jnp.float32)

    fixed_vertices, fixed_weights = on_mesh(478)
    contour_vertices, contour_weights = on_mesh(3, 17)
    return BaseModel(
        mean=jnp.asarray(mean, jnp.float32),
        identity=modes(3, 4.0),
        expression=modes(2, 3.0),
        reflectance_mean=jnp.full((count, 3), 0.5),
        reflectance=modes(3, 0.08),
        topology=make_topology(triangles, count),
        uv=jnp.asarray(np.stack([x.ravel(), -y.ravel()], 1) / 2 + 0.5, jnp.float32),
        uv_triangles=jnp.asarray(triangles, jnp.int32),
        landmarks=Landmarks(
            fixed_vertices=fixed_vertices,
            fixed_weights=fixed_weights,
            ibug_from_mediapipe=jnp.asarray(rng.permutation(478)[:68], jnp.int32),
            contour_yaws=jnp.asarray([-60.0, 0.0, 60.0]),
            contour_vertices=contour_vertices,
            contour_weights=contour_weights,
            candidates=jnp.arange(0, count, 2, dtype=jnp.int32),
        ),
        regions={"face": jnp.ones(count, bool), "skin": jnp.ones(count, bool)},
        name="tiny",
    )


@pytest.fixture
def tiny_code(tiny_model):
    """A turned, tilted, lit face of the tiny model in front of its camera."""
    return random_code(tiny_model, np.random.default_rng(3))


def random_code(model, rng):
    """A plausible code of any model, float32."""
    import jax.numpy as jnp

    from fml_jax.codes import NEUTRAL_DEPTH, FaceCode

    sizes = model.code_sizes
    parts = [rng.normal(size=size) for size in sizes]
    return FaceCode(
        *(jnp.asarray(part, jnp.float32) for part in parts),
        rotation=jnp.asarray(np.array([np.pi, 0, 0]) + rng.normal(0, 0.3, 3), jnp.float32),
        translation=jnp.asarray(np.array([0, 0, NEUTRAL_DEPTH]) + rng.normal(0, 10, 3), jnp.float32),
        illumination=jnp.asarray(np.eye(9)[0][:, None] + rng.normal(0, 0.2, (9, 3)), jnp.float32),
    )


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
