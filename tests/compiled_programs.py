"""XLA's compiled programs on disk: many tests, in several processes, compile the same ones."""

import os
from pathlib import Path

from fml_jax import compilation_cache

# pytest's own cache folder, which `pytest --cache-clear` empties.
_FOLDER = Path(__file__).parents[1] / ".pytest_cache" / "d" / "compiled"
_SECONDS_KEPT = 14 * 24 * 3600


def share_compiled_programs() -> None:
    """Makes JAX keep compiled programs, in this process and in all that it starts. Call it before JAX is imported.

    JAX's own setting of a folder (JAX_COMPILATION_CACHE_DIR) overrides it.
    """
    os.environ.setdefault(compilation_cache.ENVIRONMENT_VARIABLE, str(_FOLDER))
    compilation_cache.keep_compiled_programs()


def remove_old_programs(folder: Path = _FOLDER) -> None:
    """Removes programs that were used two weeks ago or earlier: most are of sources that have changed since."""
    for place in folder.glob("*"):
        compilation_cache.remove_old_programs(place, _SECONDS_KEPT)
