"""The data that devices exchange in a compiled step: its collectives, read from XLA's program."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh

from fml_jax.face_model.base import BaseModel
from fml_jax.networks.multilevel import Network
from fml_jax.training.batches import batch_shapes
from fml_jax.training.config import StageConfig
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.sharding import compiled_step, over_batch, replicated, state_shardings
from fml_jax.training.step import init_state, make_train_step

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# "%name = SHAPES kind("; the result of an asynchronous collective belongs to its "-done" half.
_OPERATION = re.compile(r"= (?P<shapes>.*?) (?P<kind>" + "|".join(_KINDS) + r")(?:-done)?\(")
_ARRAY = re.compile(r"(?P<type>[a-z]+)(?P<bits>\d*)\[(?P<sides>[\d,]*)\]")
# XLA writes the groups of devices as a list, as a reshaped and transposed count, or by axes of a mesh.
_LISTED_GROUPS = re.compile(r"replica_groups=\{(\{[\d,{}]*\})\}")
_COUNTED_GROUPS = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH_GROUPS = re.compile(
    r"replica_groups=mesh\[(?P<mesh>[^\]]*)\]"
    r"(?:, device_ids=\(\[(?P<dims>[\d,]+)\](?:T\((?P<order>[\d,]+)\))?\))? \{(?P<along>[^}]*)\}"
)


class Collective(NamedTuple):
    """One exchange of a program."""

    kind: str  # all-reduce, all-gather, reduce-scatter, all-to-all or collective-permute
    axis: str  # of the mesh: data, model, data and model, or "-" where the program does not state it
    bytes: int  # of its result on one device


def compile_stage(network: Network, model: BaseModel, stage: StageConfig, *, seed: int, mesh: Mesh) -> tuple[Any, Any]:
    """A stage's step, compiled for a mesh without any data.

    Returns:
      the compiled step, and the state as shapes with shardings.
    """
    optimizer = make_optimizer(stage.optimizer, stage.steps)
    shapes = jax.eval_shape(lambda: init_state(network, optimizer, seed, keep_ema=stage.ema_decay > 0))
    shardings = state_shardings(mesh, shapes)
    state = jax.tree.map(lambda shape, place: shape.update(sharding=place), shapes, shardings)
    batch = batch_shapes(stage.rows, model.code_sizes.total)
    described = _described(model, replicated(mesh)), _described(batch, over_batch(mesh))
    step = compiled_step(make_train_step(network, optimizer, stage, seed=seed), mesh, shardings)
    return step.lower(state, *described).compile(), state


def collectives(program: str, mesh: Mesh | AbstractMesh) -> list[Collective]:
    """The exchanges in a compiled program's text (`compiled.as_text()`), in its order."""
    return list(_found(program, mesh))


def _found(program, mesh) -> Iterator[Collective]:
    for line in program.splitlines():
        if operation := _OPERATION.search(line):
            size = sum(map(_bytes, _ARRAY.finditer(operation["shapes"])))
            yield Collective(operation["kind"], _axis(line, mesh), size)


def _bytes(array: re.Match) -> int:
    sides = [int(side) for side in array["sides"].split(",") if side]
    return int(np.prod(sides)) * max(int(array["bits"] or 8) // 8, 1)


def _axis(line: str, mesh: Mesh | AbstractMesh) -> str:
    """The axis along which the members of a group differ."""
    groups = _groups(line)
    if groups is None:
        return "-"
    places = np.stack(np.unravel_index(groups, mesh.axis_sizes), axis=-1)
    differ = (places != places[:, :1]).any(axis=(0, 1))
    return " and ".join(name for name, along in zip(mesh.axis_names, differ, strict=True) if along) or "-"


def _groups(line: str) -> np.ndarray | None:
    """The devices that exchange, [groups, members]."""
    if counted := _COUNTED_GROUPS.search(line):
        return _counted(*counted.group(2, 3)).reshape(_numbers(counted[1]))
    if listed := _LISTED_GROUPS.search(line):
        return np.array([_numbers(group) for group in re.findall(r"\{([\d,]+)\}", listed[1])])
    if meshed := _MESH_GROUPS.search(line):
        sides = {name: int(side) for name, side in re.findall(r"'(\w+)'=(\d+)", meshed["mesh"])}
        total = str(np.prod(list(sides.values())))
        ids = _counted(meshed["dims"] or total, meshed["order"]).reshape(list(sides.values()))
        along = [list(sides).index(name) for name in re.findall(r"'(\w+)'", meshed["along"])]
        members = int(np.prod([ids.shape[axis] for axis in along]))
        return np.moveaxis(ids, along, range(-len(along), 0)).reshape(-1, members)
    return None


def _counted(dims: str, order: str | None) -> np.ndarray:
    sides = _numbers(dims)
    return np.arange(np.prod(sides)).reshape(sides).transpose(_numbers(order) if order else None)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _described(tree, sharding):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)
