"""fml-export refuses what does not go together; tests/export has the files' contents."""

import pytest

from tests.launchers.launching import launch


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--format=onnx", "--output={}/network.npz"], "writes NAME.onnx"),
        (["--format=onnx", "--output={}/n.onnx", "--model=m.npz"], "a network has its own face model"),
        (["--output={}/m.npz", "--weights=w.npz"], "--weights goes with --format=onnx"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, arguments, message):
    result = launch("export", *(each.format(tmp_path) for each in arguments))
    assert result.returncode == 1 and message in result.stderr
    assert not list(tmp_path.iterdir())
