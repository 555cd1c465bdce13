"""The package's public names: how they are documented and called, and what their import costs."""

import ast
import subprocess
import sys
import typing

import fml_jax
from tests.package_sources import module_files, parsed, public_definitions


def test_every_public_name_is_there():
    for name in fml_jax.__all__:
        assert getattr(fml_jax, name).__module__.startswith("fml_jax.")


def test_the_names_for_type_checkers_are_the_same(monkeypatch):
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    names = {}
    source = open(fml_jax.__file__, encoding="utf-8").read()
    exec(compile(source, fml_jax.__file__, "exec"), {"__name__": "fml_jax"}, names)
    assert sorted(name for name in names if name in names["_MODULES"]) == sorted(names["__all__"])


def test_workers_that_prepare_photos_start_without_jax():
    program = "import sys, fml_jax.corpus.building, fml_jax.photos.landmarks; print('jax' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


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
