import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import resource
import sys
import numpy as np
from fml_jax.training.host_memory import keep_freed_memory

if "keep" in sys.argv:
    assert keep_freed_memory()
faults = []
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(40_000_000, np.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone can be told to")
def test_a_block_that_is_taken_again_is_at_hand():
    def faults(*arguments):
        command = [sys.executable, "-c", PROGRAM, *arguments]
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert faults() > 5 >= faults("keep")  # a fault a page, of 4 KB or of 2 MB
