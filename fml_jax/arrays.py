"""What the pure functions take for an array: JAX's own, or NumPy's, which JAX takes as well."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
