"""XLA's compiled programs on disk: many tests, in several processes, compile the same ones."""

import contextlib
import hashlib
import os
import time
from pathlib import Path

# pytest's own cache folder, which `pytest --cache-clear` empties.
_FOLDER = Path(__file__).parents[1] / ".pytest_cache" / "d" / "compiled"
_SECONDS_KEPT = 14 * 24 * 3600
_PROCESSOR = Path("/proc/cpuinfo")


def share_compiled_programs() -> None:
    """Makes JAX keep compiled programs, in this process and in all that it starts. Call it before JAX is imported.

    JAX's own setting of a folder (JAX_COMPILATION_CACHE_DIR) overrides it.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_FOLDER / _processor()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def remove_old_programs(folder: Path = _FOLDER) -> None:
    """Removes programs that were compiled two weeks ago or earlier: most are of sources that have changed since."""
    for path in folder.glob("*/*"):
        with contextlib.suppress(OSError):  # another run removed it
            if path.stat().st_mtime < time.time() - _SECONDS_KEPT:
                path.unlink()


def _processor() -> str:
    """The kind of processor: a program compiled for another one may have instructions that this one lacks."""
    if not _PROCESSOR.is_file():
        return "any"
    lines = {
        line for line in _PROCESSOR.read_text().splitlines() if line.startswith(("flags", "Features", "model name"))
    }
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:12]
