"""A server without libGL: the import names the remedy. A module that raises OpenCV's error stands in for it."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0"])
def test_a_missing_system_library_is_reported_with_its_remedy(tmp_path, library):
    (tmp_path / "cv2.py").write_text(f"raise ImportError('{library}: cannot open shared object file: No such file')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    result = subprocess.run([sys.executable, "-c", "import fml_jax"], env=environment, capture_output=True, text=True)
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1 and last.startswith("ImportError: OpenCV does not load") and library in last
    assert "apt-get install libgl1" in last and "opencv-contrib-python-headless" in last
