"""The package's public names: how they are documented and called, and what their import costs."""

import ast
import importlib
import subprocess
import sys
import typing

import pytest

import fml_jax
from tests.package_sources import module_files, parsed, public_definitions


def test_every_public_name_is_there():
    for name in fml_jax.__all__:
        assert getattr(fml_jax, name).__module__.startswith("fml_jax.")


@pytest.mark.parametrize("package", ["fml_jax", "fml_jax.export", "fml_jax.export.viewer", "fml_jax.reconstruction"])
def test_the_names_for_type_checkers_are_the_same(monkeypatch, package):
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    names, file = {}, importlib.import_module(package).__file__
    source = open(file, encoding="utf-8").read()
    exec(compile(source, file, "exec"), {"__name__": package}, names)
    assert sorted(name for name in names if name in names["_MODULES"]) == sorted(names["__all__"])


@pytest.mark.parametrize(
    "modules",
    [
        "fml_jax.corpus.building, fml_jax.photos.landmarks",  # workers that prepare photos
        "fml_jax.launchers.reconstruct, fml_jax.export.batch, fml_jax.export.page",  # those that start workers
    ],
)
def test_processes_that_predict_nothing_start_without_jax(modules):
    program = f"import sys, {modules}; print([name for name in ('jax', 'scipy', 'flax') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# Flax calls the first with its own positional arguments; the second is its plain twin.
CALLED_BY_POSITION = {"fml_jax.ops.convolution.convolve", "fml_jax.ops.convolution.convolve_plain"}


def test_every_public_definition_has_a_docstring():
    bare = [each.name for each in public_definitions() if not each.name.endswith("__") and not _documented(each)]
    assert not bare


def test_every_module_has_a_docstring():
    assert not [name for name, path in module_files().items() if not ast.get_docstring(parsed(path))]


def test_public_functions_are_annotated():
    bare = {each.name: each.not_annotated for each in public_definitions() if each.is_function and each.not_annotated}
    assert not bare


def test_from_the_fourth_on_arguments_are_given_by_name():
    many = [each.name for each in public_definitions() if each.is_function and len(each.positional) > 3]
    assert not [name for name in many if name not in CALLED_BY_POSITION]


def _documented(definition) -> bool:
    return bool(ast.get_docstring(definition.node))
