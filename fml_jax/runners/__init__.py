"""Many jobs run by the processes of this machine or by a Ray cluster, with the same results in the same files."""

from fml_jax.runners.local import run_in_processes
from fml_jax.runners.ray_cluster import run_on_ray
from fml_jax.runners.task import Note, Runner, Task

RUNNERS: dict[str, Runner] = {"local": run_in_processes, "ray": run_on_ray}

__all__ = ["RUNNERS", "Note", "Runner", "Task", "run_in_processes", "run_on_ray"]
