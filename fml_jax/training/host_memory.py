"""How the process deals with memory that it has freed."""

import ctypes
import sys

import jax

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def give_back_freed_memory() -> None:
    """Gives what has been freed so far back to the system, whatever is kept from now on.

    For when a run has begun: drawing its parameters takes more than its steps will find use for.
    """
    if trim := getattr(_libc(), "malloc_trim", None):
        trim(0)


def keep_freed_memory() -> bool:
    """Lets the C library keep large blocks that are freed, to be called before JAX starts.

    A step on a CPU takes and frees hundreds of megabytes. By default they go back to the system each
    time, which gives them out again page by page, zeroed: at the paper's size a quarter of the step.

    Returns:
      whether it did: glibc alone has these settings.
    """
    set_option = getattr(_libc(), "mallopt", None)
    if set_option is None or not all([set_option(_M_MMAP_MAX, 0), set_option(_M_TRIM_THRESHOLD, -1)]):
        return False
    # Only what the main thread takes is kept, so CPU programs must run in it.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return True


def _libc() -> ctypes.CDLL | None:
    """The C library of a Linux process."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None
