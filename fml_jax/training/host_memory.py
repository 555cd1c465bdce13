"""Settings of the C library for memory that the process has freed."""

import ctypes
import sys

import jax

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def give_back_freed_memory() -> None:
    """Returns the memory that has been freed so far to the system, also after `keep_freed_memory`.

    Called when a run has begun: drawing its parameters takes more memory than its steps reuse.
    """
    if trim := getattr(_libc(), "malloc_trim", None):
        trim(0)


def keep_freed_memory() -> bool:
    """Makes the C library keep large freed blocks; must be called before JAX starts.

    A step on a CPU allocates and frees hundreds of megabytes. By default they are returned to the system each
    time, which zeroes the pages before it allocates them again: at the paper's size a quarter of the step's time.

    Returns:
      whether the settings exist; only glibc has them.
    """
    set_option = getattr(_libc(), "mallopt", None)
    if set_option is None or not all([set_option(_M_MMAP_MAX, 0), set_option(_M_TRIM_THRESHOLD, -1)]):
        return False
    # Only memory allocated by the main thread is kept, so CPU programs must run in it.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return True


def _libc() -> ctypes.CDLL | None:
    """The C library of a Linux process."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None
