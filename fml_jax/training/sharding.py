"""The placement of arrays on a mesh of devices with the axes `data` (the batch) and `model` (the corrective modes).

The modes M of a corrective space, [C, 3 N], are by far the largest arrays at the paper's size. Each
device of the `model` axis holds C / devices of them, with their share of the average and of the
optimizer's state; all other arrays are replicated. Sharding C and not N sets no condition on the face model's mesh,
whose N is seldom divisible, and leaves checkpoints independent of the number of devices. It costs
one sum of F(δ) [B, N, 3] over `model` for each space and step.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from fml_jax.errors import InputError
from fml_jax.training.config import StageConfig

# Without it XLA's CPU backend copies arrays that a step both reads and replaces, such as an optimizer's statistics.
COMPILER_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}


def make_mesh(model_devices: int = 1) -> Mesh:
    """All devices of all processes, in groups of `model_devices` that share one copy of the modes.

    Raises:
      InputError: the number of devices is not a multiple of `model_devices`.
    """
    count = jax.device_count()
    if count % model_devices:
        raise InputError(
            f"{count} devices cannot be split into groups of model_devices={model_devices} for the model axis"
        )
    return jax.make_mesh((count // model_devices, model_devices), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The same values on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The first axis split over `data`."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_rows(name: str, stage: StageConfig, mesh: Mesh) -> None:
    """Checks that the batches of a stage can be split over `data`.

    Raises:
      InputError: they cannot be split evenly.
    """
    devices = mesh.shape["data"]
    if stage.rows % devices:
        raise InputError(
            f"stage {name!r}: a batch of {stage.rows} rows cannot be split evenly over {devices} devices; "
            f"change --config.stages.{name}.synthetic or .photos"
        )


def state_shardings(mesh: Mesh | AbstractMesh, state: Any) -> Any:
    """The placement of each array of a training state: corrective modes and their statistics are split over `model`.

    Args:
      state: a TrainState, or its shapes.

    Raises:
      InputError: a number of corrective parameters that the `model` axis does not divide.
    """

    def sharding(path, leaf):
        if getattr(path[-1], "key", None) != "modes":
            return replicated(mesh)
        if leaf.shape[0] % mesh.shape["model"]:
            raise InputError(
                f"{leaf.shape[0]} corrective parameters cannot be split evenly over model_devices={mesh.shape['model']}"
            )
        return NamedSharding(mesh, PartitionSpec("model"))

    return jax.tree_util.tree_map_with_path(sharding, state)


def compiled_step(train_step: Callable, mesh: Mesh, shardings: Any) -> Any:
    """`train_step` under `jit` on a mesh; the state that is passed to it is donated.

    Args:
      shardings: of the state, from `state_shardings`.
    """
    everywhere = replicated(mesh)
    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(shardings, everywhere, over_batch(mesh)),
        out_shardings=(shardings, everywhere),
        compiler_options=COMPILER_OPTIONS,
    )


def placed(tree: Any, sharding: NamedSharding) -> Any:
    """Host arrays, which are equal in all processes, on the devices; arrays that are there already are moved."""

    def place(array):
        if isinstance(array, jax.Array) and array.is_fully_addressable:
            return jax.device_put(array, sharding)
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(place, tree)


def gathered(tree: Any, mesh: Mesh) -> Any:
    """Arrays from any devices, on the host of every process."""
    return jax.device_get(jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree))


def bytes_per_device(tree: Any) -> int:
    """Bytes of arrays on one device; also of shapes with shardings."""
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )
