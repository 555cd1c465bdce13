"""XLA's programs: compiled quickly, and kept on disk, since many tests, in several processes, compile the same ones."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fml_jax import compilation_cache

# pytest's own cache folder, which `pytest --cache-clear` empties.
_FOLDER = Path(__file__).parents[1] / ".pytest_cache" / "d" / "compiled"
_SECONDS_KEPT = 14 * 24 * 3600
# The emitters that XLA had before its present ones, and one part a program. Most tests run a program once or twice, so
# that its compilation takes longer than its run; these take half the CPU time for it.
_QUICK = ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")
_UNOPTIMIZED = "jax_disable_most_optimizations"  # LLVM takes a quarter of its time then


def compile_quickly() -> None:
    """Makes XLA compile in less time, in this process and in all that it starts. Call it before JAX compiles.

    All of a run is compiled alike: JAX would use a program again that was compiled with other settings, and then files
    would differ from those that another process writes.
    """
    import jax

    os.environ["XLA_FLAGS"] = xla_flags(*_QUICK)
    os.environ[_UNOPTIMIZED.upper()] = "true"
    jax.config.update(_UNOPTIMIZED, True)


def run_once(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """The result of a pure function that is compiled without optimizations, such as an initialization of parameters.

    Optimizing the random numbers of an encoder's 76 parameters takes 13 to 32 s of CPU time; without, it takes 2 s.
    """
    import jax

    options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return jax.jit(function, compiler_options=options)(*arguments, **keywords)


def xla_flags(*further: str) -> str:
    """The value of XLA_FLAGS with further flags, for a program that a test starts."""
    present = os.environ.get("XLA_FLAGS", "").split()
    return " ".join([*present, *(flag for flag in further if flag not in present)])


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
