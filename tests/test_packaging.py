"""The wheel, installed alone in an empty environment, has everything that the installed commands need."""

import itertools
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import fml_jax

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Runs in the environment of the wheel; prints the project's version.
PROGRAM = """
import importlib.metadata, sys
from pathlib import Path
import fml_jax
from skimage import data
from fml_jax.launchers.config_flag import named_configs

assert Path(fml_jax.__file__).is_relative_to(sys.prefix), fml_jax.__file__
assert {"quick", "small", "paper"} <= named_configs().keys(), named_configs()
for entry in importlib.metadata.distribution("fml_jax").entry_points:
    assert callable(entry.load()), entry
face, = fml_jax.Reconstructor.default()(data.astronaut())
assert face.score > 0.5, face.score
assert any(path.suffix == ".npz" for path in face.save("."))
print(importlib.metadata.version("fml_jax"), fml_jax.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the sources, so that no earlier build leaves files in it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "fml_jax", source / "fml_jax", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source]
    _pip(*build)
    return next(folder.glob("fml_jax-*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A virtual environment that holds the wheel and sees the dependencies that this interpreter has."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # Later in sys.path than the wheel; .pth files in these folders, such as that of an editable install, are not read.
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    _pip("--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    return folder


def test_wheel_has_every_file_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "fml_jax").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    missing = {str(path.relative_to(ROOT)) for path in files} - names
    assert not missing


def test_wheel_has_only_the_package_and_its_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} <= {"fml_jax", f"fml_jax-{_version(wheel)}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_wheel_reconstructs_a_photo_from_another_folder(environment, tmp_path):
    printed = _run(environment / "bin" / "python", "-c", PROGRAM, cwd=tmp_path)
    installed, version = printed.split()[-2:]
    assert installed == version


@pytest.mark.slow
def test_installed_commands_explain_themselves(environment, tmp_path):
    for command in PROJECT["scripts"]:
        assert "--" in _run(environment / "bin" / command, "--help", cwd=tmp_path)


def test_every_launcher_has_a_command():
    modules = {entry.removesuffix(":run") for entry in PROJECT["scripts"].values()}
    launchers = [path for path in (ROOT / "fml_jax" / "launchers").glob("*.py") if "\ndef run(" in path.read_text()]
    assert modules == {f"fml_jax.launchers.{path.stem}" for path in launchers}
    for command, entry in PROJECT["scripts"].items():
        name = entry.removesuffix(":run").rpartition(".")[2]
        assert command == "fml-" + name.replace("_", "-")


def test_citation_has_the_version():
    assert f"\nversion: {fml_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_dependencies_are_pinned_in_the_requirements():
    pinned = {line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["landmarks"]]
    assert {re.match(r"[\w-]+", requirement)[0] for requirement in wanted} <= pinned


def test_the_readme_has_a_purpose_for_each_dependency():
    table = (ROOT / "README.md").read_text().partition("## Dependencies")[2]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE))
    explained = {name for names in rows for name in names.split(", ")}
    wanted = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
    assert {re.split(r"[\[<>=~ ]", requirement)[0] for requirement in wanted} <= explained


def _version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def _pip(*arguments) -> None:
    _run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


def _run(*command, **settings) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout
