"""The array type that the pure functions take: JAX's own, or NumPy's, which JAX accepts as well."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    Array = Any  # a union of the two would not survive arithmetic, whose results type checkers cannot follow
else:
    Array = jax.Array | np.ndarray


def namespace(array: Array) -> Any:
    """NumPy for NumPy's arrays, else `jax.numpy`: pictures and files of one face need no compiled program."""
    return np if isinstance(array, np.ndarray) else jnp
