"""Compiled programs kept on disk, so that the next start of a run need not compile them again."""

import os
from pathlib import Path

import jax
import pooch

ENVIRONMENT_VARIABLE = "FML_COMPILATION_CACHE"


def keep_compiled_programs() -> Path | None:
    """Lets JAX keep what it compiles in the user's cache (XDG's), or in the folder that FML_COMPILATION_CACHE names.

    An empty FML_COMPILATION_CACHE switches it off; JAX's own setting (JAX_COMPILATION_CACHE_DIR) goes
    before both. Programs that compile in under a second are not worth keeping (JAX_PERSISTENT_CACHE_…).

    Returns:
      the folder, None where nothing is kept.
    """
    if own := jax.config.jax_compilation_cache_dir:
        return Path(own)
    folder = os.environ.get(ENVIRONMENT_VARIABLE, str(Path(pooch.os_cache("fml_jax")) / "compiled"))
    if not folder:
        return None
    jax.config.update("jax_compilation_cache_dir", folder)
    return Path(folder)
