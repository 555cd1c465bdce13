"""The array type that the pure functions take: JAX's own, or NumPy's, which JAX accepts as well."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
