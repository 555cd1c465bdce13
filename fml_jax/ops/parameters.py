"""Flax parameters that cost little to trace."""

from typing import Any

import jax
import numpy as np


class GivenParameters:
    """Mixed into a Flax module: a parameter that is given, in the shape that is asked for, is used as it is.

    Flax itself traces the initializer of each parameter to know that shape, which takes a sixth of the time of tracing
    a network.
    """

    def param(self: Any, name: str, init_fn: Any, *init_args: Any, **keywords: Any) -> Any:
        """As `flax.linen.Module.param`; the first of `init_args` is the parameter's shape."""
        if init_args and self.has_variable("params", name):
            given = self.get_variable("params", name)
            if np.shape(jax.tree.leaves(given)[0]) == tuple(init_args[0]):
                return given
        return super().param(name, init_fn, *init_args, **keywords)  # type: ignore[misc]
