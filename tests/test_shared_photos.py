"""Tests that need ../shared are skipped loudly where it does not exist, and may not be skipped where it does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = ("__init__.py", "compiled_programs.py", "conftest.py", "type_checker.py")  # what tests need to start


@pytest.fixture
def run_tests(tmp_path):
    """Runs one test, given as source text, beside a copy of conftest.py; returns the exit status and the output."""
    tests = tmp_path / "repository" / "tests"
    tests.mkdir(parents=True)
    for name in FILES:
        shutil.copy(Path(__file__).parent / name, tests)

    def run(source, *arguments):
        (tests / "test_photo.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(tests)]
        done = subprocess.run(command, cwd=tests, capture_output=True, text=True)
        return done.returncode, done.stdout

    return run


def test_without_the_folder_tests_are_skipped_and_counted(run_tests):
    status, output = run_tests("def test_a(shared): pass\ndef test_b(shared): pass\n")
    assert status == 0
    assert "2 tests skipped: each needs the private photos in ../shared, which does not exist here" in output


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]])
def test_with_the_folder_such_a_skip_fails_the_run(run_tests, tmp_path, arguments):
    (tmp_path / "shared").mkdir()
    status, output = run_tests("import pytest\ndef test_a(): pytest.skip('needs ../shared/photos')\n", *arguments)
    assert status == 1
    assert "1 tests skipped" in output


def test_with_the_folder_tests_run(run_tests, tmp_path):
    (tmp_path / "shared").mkdir()
    status, output = run_tests("def test_a(shared): assert shared.is_dir()\n")
    assert status == 0
    assert "1 passed" in output and "skipped" not in output
