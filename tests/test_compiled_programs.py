"""Compiled programs are shared between tests and the programs that they start, and do not pile up."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jax

from tests.compiled_programs import remove_old_programs

COUNT = """
import jax
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
{}
print(len(hits))
"""


def test_a_program_that_a_test_starts_finds_what_was_compiled():
    compiled = "jax.jit(lambda x: x @ x + 7)(jax.numpy.ones((6, 6)))"
    found = []
    for _ in range(2):
        command = [sys.executable, "-c", COUNT.format(compiled)]
        found.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert found[1] > 0
    assert Path(jax.config.values["jax_compilation_cache_dir"]) == Path(os.environ["JAX_COMPILATION_CACHE_DIR"])


def test_old_programs_are_removed(tmp_path):
    folder = tmp_path / "processor"
    folder.mkdir()
    for name, days in {"new": 1, "old": 30}.items():
        (folder / name).touch()
        os.utime(folder / name, (time.time() - days * 86400,) * 2)
    remove_old_programs(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["new"]
