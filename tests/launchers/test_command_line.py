"""What all launchers share."""

import pytest

from tests.launchers.launching import launch


@pytest.mark.parametrize(
    "launcher, flag, others",
    [
        ("evaluate", "--photos", ["--output=b"]),
        ("evaluate", "--output", ["--photos=a"]),
        ("fit_score", "--photos", ["--frames=a", "--output=b"]),
        ("prepare", "--input", ["--output=b"]),
        ("prepare", "--output", ["--input=a"]),
        ("reconstruct", "--input", ["--output=b"]),
        ("reconstruct", "--output", ["--input=a"]),
        ("train", "--workdir", ["--config=quick"]),
    ],
)
def test_empty_values_are_refused(tmp_path, monkeypatch, launcher, flag, others):
    """A shell gives them where a variable is unset; as paths they would stand for the current folder."""
    monkeypatch.chdir(tmp_path)
    result = launch(launcher, *others, f"{flag}=")
    assert result.returncode == 1 and not list(tmp_path.iterdir())
    assert result.stderr == f"{launcher}: {flag} is empty; give a value, or leave the flag out\n"
