"""Where arrays live: a mesh of devices with the axes `data` (the batch) and `model` (the corrective modes).

The modes M of a corrective space, [C, 3 N], are by far the largest arrays at the paper's size. Each
device of the `model` axis keeps C / devices of them, with their share of the average and of the
optimizer's state; all else is the same everywhere. Sharding C and not N asks nothing of the mesh,
whose N is seldom divisible, and leaves checkpoints independent of the number of devices. It costs
one sum of F(δ) [B, N, 3] over `model` a space and step.
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fml_jax.errors import InputError

# Without it XLA's CPU backend copies what a step both reads and replaces, such as an optimizer's statistics.
COMPILER_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}


def make_mesh(model_devices: int = 1) -> Mesh:
    """All devices of all processes, `model_devices` of them to one copy of the modes.

    Raises:
      InputError: the number of devices is not a multiple of `model_devices`.
    """
    count = jax.device_count()
    if count % model_devices:
        raise InputError(
            f"{count} devices cannot be split into groups of model_devices={model_devices} for the model axis"
        )
    return jax.make_mesh((count // model_devices, model_devices), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same values on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The first axis split over `data`."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_rows(name: str, stage: Mapping, mesh: Mesh) -> None:
    """Whether a stage's batch can be split over `data`.

    Raises:
      InputError: not evenly.
    """
    rows, devices = stage["synthetic"] + stage["photos"], mesh.shape["data"]
    if rows % devices:
        raise InputError(f"stage {name!r}: a batch of {rows} rows cannot be split evenly over {devices} devices")


def state_shardings(mesh: Mesh, state):
    """Where each array of a training state lives: what belongs to corrective modes split over `model`.

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


def compiled_step(train_step: Callable, mesh: Mesh, shardings):
    """`train_step` under `jit` on a mesh; the state that goes in is given up.

    Args:
      shardings: of the state, as `state_shardings` has them.
    """
    everywhere = replicated(mesh)
    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(shardings, everywhere, over_batch(mesh)),
        out_shardings=(shardings, everywhere),
        compiler_options=COMPILER_OPTIONS,
    )


def placed(tree, sharding: NamedSharding):
    """Host arrays, the same ones in every process, on the devices."""

    def place(array):
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(place, tree)


def gathered(tree, mesh: Mesh):
    """Arrays that live on any devices, on the host of every process."""
    return jax.device_get(jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree))


def bytes_per_device(tree) -> int:
    """What one device holds of arrays, or would hold of shapes with shardings."""
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )
