"""Where arrays live: a mesh of devices with the axes `data` (the batch) and `model` (large bases)."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make_mesh(model_devices: int = 1) -> Mesh:
    """All devices of all processes, `model_devices` of them to one copy of the model.

    Raises:
      ValueError: the number of devices is not a multiple of `model_devices`.
    """
    count = jax.device_count()
    if count % model_devices:
        raise ValueError(f"{count} devices cannot be split into groups of {model_devices} for the model axis")
    return jax.make_mesh((count // model_devices, model_devices), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same values on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The first axis split over `data`."""
    return NamedSharding(mesh, PartitionSpec("data"))
