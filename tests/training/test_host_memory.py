import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

GIVEN_BACK = """
import numpy as np
from fml_jax.training.host_memory import give_back_freed_memory, keep_freed_memory

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

keep_freed_memory()
np.ones(200_000_000, np.uint8)
kept = resident()
give_back_freed_memory()
print(kept - resident())
"""

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
    assert said(PROGRAM) > 5 >= said(PROGRAM, "keep")  # a fault a page, of 4 KB or of 2 MB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone can be told to")
def test_what_was_freed_is_given_back():
    assert said(GIVEN_BACK) > 190_000  # KB


def said(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
