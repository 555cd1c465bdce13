"""The package's public names, and what their import costs."""

import subprocess
import sys
import typing

import fml_jax


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
