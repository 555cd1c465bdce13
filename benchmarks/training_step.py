"""Times the full training step at the paper's size against plain PyTorch, and against the machine's limits.

    python -m benchmarks.training_step [--repeats=8]
    python -m benchmarks.training_step --sweep

The step is that of the second stage of experiments/configs/paper.py: AlexNet, fine detail, 500 + 500
linear correctives, five photos, Adadelta. First both programs are given the same parameters, batch and
skin pairs and must find the same loss and gradients to 1e-3. Then each is timed in processes of its own,
in turn, which also tell its peak memory; what our step is made of stands beside the least time that its
operations and bytes allow; and the first start is compared with the next one, which finds the compiled
step on disk. `--sweep` times our step against N, C and B instead.

PyTorch is needed for the comparison alone: pip install torch==2.13.0.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

_REPEATS = flags.DEFINE_integer("repeats", 8, "Steps timed in each process, after one that is not.", lower_bound=2)
_SWEEP = flags.DEFINE_boolean("sweep", False, "Our step against N, C and B, and nothing else.")

TOLERANCE = 1e-3
ROUNDS = 2  # of processes that are timed in turn
SWEEP = [
    *({"detail": detail} for detail in ("standard", "face", "fine")),
    *({"count": count} for count in (0, 100, 250, 500, 1000)),
    *({"rows": rows} for rows in (1, 2, 5, 10, 20)),
]


def main(_):
    if _SWEEP.value:
        return sweep()
    with tempfile.TemporaryDirectory() as folder:
        facts = part("prepare", folder)
        millions = facts["parameters"] / 1e6
        sizes = f"N={facts['vertices']}, {millions:.0f} M parameters, batch of {facts['rows']}"
        print(f"{sizes}, {os.cpu_count()} cores")
        gaps = part("check", folder)
        worst = max(gaps, key=gaps.get)
        print(f"relative differences of both programs: loss {gaps['loss']:.0e}, gradients {gaps[worst]:.0e} ({worst})")
        compare(folder)
        breakdown(folder)
        starts(folder)


def compare(folder):
    titles = {
        "ours": "ours",
        "ours_averaged": "ours, parameters averaged too",
        "pytorch": "PyTorch",
        "pytorch_averaged": "PyTorch, parameters averaged too",
        "pytorch_kept": "PyTorch, freed memory kept",
    }
    cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled_step"}  # the first round fills it
    rounds = [{name: part(name, folder, cache) for name in titles} for _ in range(ROUNDS)]
    print(f"{'':<40}{'s a step':>10}{'photos/s':>10}{'of ours':>9}{'peak GB':>9}{'next start':>12}")
    ours = None
    for name, title in titles.items():
        seconds = float(np.median([second for each in rounds for second in each[name]["seconds"]]))
        ours = ours or seconds
        first, *_, last = (each[name]["peak"] / 1e9 for each in rounds)
        speed = rounds[0][name]["rows"] / seconds
        print(f"{title:<40}{seconds:>10.2f}{speed:>10.2f}{ours / seconds:>9.2f}{first:>9.2f}{last:>12.2f}")


def breakdown(folder):
    found = part("breakdown", folder)
    flops, bandwidth = found["flops"] / 1e9, found["bytes"] / 1e9
    print(f"ceilings: {flops:.0f} GFLOP/s (product of 4096² matrices), {bandwidth:.0f} GB/s (triad, 0.4 GB each)")
    print(f"{'part':<18}{'seconds':>9}{'GFLOP':>8}{'GB':>7}{'floor':>8}{'ratio':>7}")
    parts = [dict(name=name, **each) for name, each in found["parts"].items()]
    total = {
        "name": "their sum",
        **{key: sum(each[key] for each in parts) for key in ("seconds", "flops", "bytes", "floor")},
    }
    step = {**total, "name": "the whole step", "seconds": found["step"]}
    spared, floor = (sum(each[key] for each in parts) for key in ("spared", "stricter"))
    stricter = {**step, "name": "… gradients spared", "bytes": total["bytes"] - spared, "floor": floor}
    for each in (*parts, total, step, stricter):
        ratio = each["seconds"] / each["floor"]
        print(
            f"{each['name']:<18}{each['seconds']:>9.3f}{each['flops'] / 1e9:>8.1f}{each['bytes'] / 1e9:>7.2f}"
            f"{each['floor']:>8.3f}{ratio:>7.1f}"
        )


def starts(folder):
    cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
    for title in ("first start", "next start"):
        found = part("start", folder, cache)
        print(f"{title}: {found['trace']:.1f} s traced, {found['compile']:.1f} s compiled or read")


def sweep():
    print(f"{'N':>7}{'C':>10}{'B':>4}{'s a step':>10}{'ms a photo':>12}")
    for change in SWEEP:
        found = part("measure", json.dumps(change))
        seconds = float(np.median(found["seconds"]))
        sizes = f"{found['count']}+{found['count']}"
        each = 1000 * seconds / found["rows"]
        print(f"{found['vertices']:>7}{sizes:>10}{found['rows']:>4}{seconds:>10.2f}{each:>12.0f}", flush=True)


def part(name: str, argument: str, environment: dict | None = None) -> dict:
    """What one part finds in a process of its own.

    Raises:
      SystemExit: it ended in an error.
    """
    command = [sys.executable, "-m", "benchmarks.training_step_parts", name, argument, str(_REPEATS.value)]
    result = subprocess.run(command, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"training_step: the part {name} failed")
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == "__main__":
    app.run(main)
