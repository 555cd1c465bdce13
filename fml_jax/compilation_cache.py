"""Compiled programs kept on disk, so that the next start of a command does not compile them again."""

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

ENVIRONMENT_VARIABLE = "FML_COMPILATION_CACHE"
_JAXS_FOLDER = "JAX_COMPILATION_CACHE_DIR"
_SECONDS_KEPT = 30 * 24 * 3600
_PROCESSOR = Path("/proc/cpuinfo")


def keep_compiled_programs() -> Path | None:
    """Makes JAX keep compiled programs in the user's cache (XDG's), or in the folder FML_COMPILATION_CACHE.

    It holds for this process and those that it starts. An empty FML_COMPILATION_CACHE disables the cache; JAX's own
    settings (JAX_COMPILATION_CACHE_DIR, JAX_PERSISTENT_CACHE_…) override ours. Programs that have not been used for a
    month are removed.

    Returns:
      the folder; None where nothing is kept.
    """
    if own := os.environ.get(_JAXS_FOLDER):
        return Path(own)
    place = os.environ.get(ENVIRONMENT_VARIABLE, str(_user_cache()))
    if not place:
        return None
    folder = Path(place) / processor()
    _set("jax_compilation_cache_dir", str(folder))
    _set("jax_persistent_cache_min_compile_time_secs", 0)
    _set("jax_persistent_cache_min_entry_size_bytes", -1)
    remove_old_programs(folder)
    return folder


def remove_old_programs(folder: Path, seconds: float = _SECONDS_KEPT) -> None:
    """Removes files that were not written or read for so long: most are programs of sources that have changed."""
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):  # another process removed it
            times = path.stat()
            if max(times.st_mtime, times.st_atime) < time.time() - seconds:
                path.unlink()


def processor() -> str:
    """The kind of processor: a program compiled for another one may have instructions that this one lacks."""
    if not _PROCESSOR.is_file():
        return "any"
    lines = {
        line for line in _PROCESSOR.read_text().splitlines() if line.startswith(("flags", "Features", "model name"))
    }
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:12]


def _set(name: str, value: str | int) -> None:
    """Sets one of JAX's options unless the user has; in the environment, which JAX reads when it is imported."""
    if name.upper() in os.environ:
        return
    os.environ[name.upper()] = str(value)
    if "jax" in sys.modules:
        import jax

        jax.config.update(name, value)


def _user_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "fml_jax" / "compiled"
