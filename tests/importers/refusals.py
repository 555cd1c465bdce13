"""How tests see that a stranger's file is refused."""

import tracemalloc
import warnings

import pytest

from fml_jax.errors import InputError

MEMORY = 150 * 2**20  # bytes; each file has under a megabyte


def refused(read, *arguments, match=""):
    """The call is refused in one line of text, within the memory, and without a warning."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings(), pytest.raises(InputError, match=match) as caught:
            warnings.simplefilter("error")
            read(*arguments)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 1000
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
