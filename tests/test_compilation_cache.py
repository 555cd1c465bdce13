"""Compiled programs are found again by the next process, where the user wants them kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fml_jax.compilation_cache import processor

ROOT = Path(__file__).parents[1]

PROGRAM = """
import json
import jax
from fml_jax.compilation_cache import keep_compiled_programs

found = {"hits": 0, "misses": 0}
names = {f"/jax/compilation_cache/cache_{name}": name for name in found}

def count(event, **_):
    if event in names:
        found[names[event]] += 1

jax.monitoring.register_event_listener(count)
folder = keep_compiled_programs()
jax.jit(lambda x: x @ x + 3)(jax.numpy.ones((5, 5)))
print(json.dumps({"folder": str(folder), **found}))
"""


def run(**environment):
    others = {name: value for name, value in os.environ.items() if "_CACHE" not in name} | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(
        command, cwd=ROOT, env={**others, **environment}, capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("variable, folder", [("FML_COMPILATION_CACHE", ""), ("XDG_CACHE_HOME", "fml_jax/compiled")])
def test_the_next_process_finds_what_was_compiled(tmp_path, variable, folder):
    first, second = (run(**{variable: str(tmp_path)}) for _ in range(2))
    assert first["folder"] == second["folder"] == str(tmp_path / folder / processor())
    assert first["hits"] == 0 < first["misses"] and second["misses"] == 0 < second["hits"]


def test_nothing_is_kept_where_the_folder_is_empty(tmp_path):
    found = run(FML_COMPILATION_CACHE="", XDG_CACHE_HOME=str(tmp_path))
    assert found == {"folder": "None", "hits": 0, "misses": 0} and not list(tmp_path.iterdir())


def test_jaxs_own_setting_goes_before_ours(tmp_path):
    found = run(FML_COMPILATION_CACHE=str(tmp_path / "ours"), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "jaxs"))
    assert found["folder"] == str(tmp_path / "jaxs") and not (tmp_path / "ours").exists()
