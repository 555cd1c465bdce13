"""Starts launchers as a user does, but within the process of the tests, which has JAX loaded already."""

import contextlib
import importlib
import io
import sys
from typing import NamedTuple
from unittest import mock


class Result(NamedTuple):
    """What a program leaves behind; named as in `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def launch(name: str, *arguments: object) -> Result:
    """Calls the entry point of a launcher with these arguments."""
    launcher = importlib.reload(importlib.import_module(f"fml_jax.launchers.{name}"))  # flags with their defaults
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [f"fml-{name}", *map(str, arguments)]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            launcher.run()
            code = 0
        except SystemExit as exit:
            code = exit.code
    if isinstance(code, str):  # as Python does at the end of a program
        stderr.write(code + "\n")
        code = 1
    return Result(code or 0, stdout.getvalue(), stderr.getvalue())
