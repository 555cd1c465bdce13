"""What a user of `fml-reconstruct` waits for, from Enter on.

    python -m benchmarks.launcher --photos=PHOTOS [--count=200] [--repeats=3] [--against=CHECKOUT]

Prints the seconds until the first photo's files are there (npz, glb, overlay) and until the command ends, on a first
start, when nothing has been compiled yet, and on later ones; then how many photos a second a folder takes with default
files. Processor time is printed beside it, which other programs on the machine change less. With another checkout of
the project, both are measured in turn and their ratios are printed.
"""

import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from absl import app, flags
from tqdm import tqdm

_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos (with those below it).", required=True)
_COUNT = flags.DEFINE_integer("count", 200, "Photos in the folder that is timed; 0 leaves it out.", lower_bound=0)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Later starts, whose median is printed.", lower_bound=1)
_AGAINST = flags.DEFINE_string("against", None, "Another checkout of the project.")

_HERE = Path(__file__).parents[1]
_FILES = (".npz", ".glb", "_overlay.png")


class Seconds(NamedTuple):
    """The times of one command."""

    first_files: float
    whole: float
    processor: float  # user and system, of all its processes


def main(_):
    photos = list(itertools.islice(sorted(Path(_PHOTOS.value).rglob("*.jpg")), max(_COUNT.value, 1)))
    checkouts = {"here": _HERE} | ({"against": Path(_AGAINST.value).resolve()} if _AGAINST.value else {})
    found: dict[str, dict[str, Seconds]] = {name: {} for name in checkouts}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "photos"
        folder.mkdir()
        for photo in photos:
            shutil.copy(photo, folder)
        one = folder / photos[0].name
        for name, checkout in tqdm(checkouts.items(), desc="first start", unit="checkout"):
            found[name]["first start"] = _timed(checkout, Path(work) / name, one)
        later: dict[str, list[Seconds]] = {name: [] for name in checkouts}
        for _ in tqdm(range(_REPEATS.value), desc="later starts", unit="round"):
            for name, checkout in checkouts.items():
                later[name].append(_timed(checkout, Path(work) / name, one))
        for name, each in later.items():
            found[name]["later start"] = Seconds(*map(statistics.median, zip(*each, strict=True)))
        for name, checkout in checkouts.items() if _COUNT.value else ():
            found[name][f"{len(photos)} photos"] = _timed(checkout, Path(work) / name, folder)
    _print(found, len(photos))


def _timed(checkout: Path, work: Path, place: Path) -> Seconds:
    """Runs the command on a photo or a folder, with results of its own and a cache that later calls find again."""
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    kept = (name for name in os.environ if "_CACHE" not in name and name != "PYTHONDONTWRITEBYTECODE")
    environment = {name: os.environ[name] for name in kept}
    environment |= {"XDG_CACHE_HOME": str(work / "cache"), "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-m", "experiments.reconstruct", f"--input={place}", f"--output={output}"]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(
        command, cwd=checkout, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as running:
        first = None
        while running.poll() is None:
            if first is None and all(any(output.glob(f"*{ending}")) for ending in _FILES):
                first = time.perf_counter() - begin
            time.sleep(0.02)
    whole, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if running.returncode:
        sys.exit(f"{' '.join(command)}: exit status {running.returncode}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seconds(whole if first is None else first, whole, processor)


def _print(found: dict[str, dict[str, Seconds]], photos: int) -> None:
    for name, rows in found.items():
        print(f"\n{name:14}{'first files':>13}{'whole':>10}{'processor':>12}")
        for row, seconds in rows.items():
            rate = f"   {photos / seconds.whole:.1f} photos/s" if row.endswith("photos") else ""
            print(f"{row:14}{seconds.first_files:11.1f} s{seconds.whole:8.1f} s{seconds.processor:10.1f} s{rate}")
    if len(found) == 2:
        print(f"\n{'here / against':14}{'first files':>13}{'whole':>10}{'processor':>12}")
        for row, here in found["here"].items():
            ratios = [a / b for a, b in zip(here, found["against"][row], strict=True)]
            print(f"{row:14}{ratios[0]:13.2f}{ratios[1]:10.2f}{ratios[2]:12.2f}")


if __name__ == "__main__":
    app.run(main)
