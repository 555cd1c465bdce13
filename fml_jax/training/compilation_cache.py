"""Compiled programs kept on disk, so that the next start of a run does not compile them again."""

import os
from pathlib import Path

import jax
import pooch

ENVIRONMENT_VARIABLE = "FML_COMPILATION_CACHE"


def keep_compiled_programs() -> Path | None:
    """Makes JAX keep compiled programs in the user's cache (XDG's), or in the folder FML_COMPILATION_CACHE.

    An empty FML_COMPILATION_CACHE disables the cache; JAX's own setting (JAX_COMPILATION_CACHE_DIR) overrides
    both. Programs that compile in less than a second are not kept (JAX_PERSISTENT_CACHE_…).

    Returns:
      the folder; None where nothing is kept.
    """
    if own := jax.config.values["jax_compilation_cache_dir"]:
        return Path(own)
    folder = os.environ.get(ENVIRONMENT_VARIABLE, str(Path(pooch.os_cache("fml_jax")) / "compiled"))
    if not folder:
        return None
    jax.config.update("jax_compilation_cache_dir", folder)
    return Path(folder)
