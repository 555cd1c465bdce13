"""Checkpoints of training; the only file that uses Orbax."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from fml_jax.errors import InputError


class HeldOut(NamedTuple):
    """The quality of a checkpoint: the loss of its stage on held-out faces. Losses of two stages do not compare."""

    stage: int
    loss: float

    def better_than(self, other: "HeldOut") -> bool:
        """Whether it is the better one; a later stage is better than all earlier ones."""
        return _rank(self._asdict()) > _rank(other._asdict())


UNKNOWN = HeldOut(stage=-1, loss=math.inf)


class Checkpoints:
    """The checkpoints of one run, in `WORKDIR/checkpoints`; each is complete or absent.

    The newest checkpoints are kept, and the best of those with a held-out loss.
    """

    def __init__(self, workdir: Path, keep: int = 3) -> None:
        newest = policies.LatestN(n=keep)
        best = policies.BestN(get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            best_fn=_rank,  # alone it would keep the best and not the newest; without it no metrics are saved
            preservation_policy=policies.AnyPreservationPolicy([newest, best]),
            create=True,
            enable_async_checkpointing=False,
        )
        self._manager = ocp.CheckpointManager((Path(workdir) / "checkpoints").resolve(), options=options)

    def save(self, state: Any, config: dict, held_out: HeldOut = UNKNOWN) -> None:
        """Writes a state and the config with which it was trained, unless there is a checkpoint of this step."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        try:
            items = ocp.args.Composite(state=ocp.args.StandardSave(state), config=ocp.args.JsonSave(config))
            self._manager.save(step, args=items, metrics=held_out._asdict())
            self._manager.wait_until_finished()
        except OSError as error:
            raise InputError(
                f"checkpoint of step {step} could not be written ({error}); earlier ones are kept, "
                "make room or choose another --workdir, then run the same command"
            ) from error

    def latest_step(self) -> int | None:
        """Steps done in the newest checkpoint, None before the first."""
        return self._manager.latest_step()

    def best(self) -> tuple[int | None, HeldOut]:
        """Steps done in the best checkpoint, None before the first, and its held-out loss."""
        step = self._manager.best_step()
        return step, UNKNOWN if step is None else HeldOut(**self._manager.metrics(step))

    def restore(self, template: Any, step: int | None = None) -> Any:
        """The state after a number of steps, by default the newest one.

        Args:
          template: the layout of the state: arrays, or shapes with shardings.

        Raises:
          InputError: the checkpoint has other arrays.
        """
        step = self.latest_step() if step is None else step
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        try:
            return self._manager.restore(step, args=items).state
        except ValueError as error:
            raise InputError(
                f"{self._manager.directory}: the checkpoint of step {step} does not fit this config, "
                "whose network or optimizer has other arrays; choose another --workdir"
            ) from error

    def saved_config(self) -> dict:
        """The config of the newest checkpoint."""
        items = ocp.args.Composite(config=ocp.args.JsonRestore())
        return self._manager.restore(self.latest_step(), args=items).config

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.close()


def _rank(metrics: dict) -> tuple:
    return metrics["stage"], -metrics["loss"]


def changes(old: dict, new: dict, prefix: str = "") -> list[str]:
    """The differences between two configs, one readable line for each field."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += changes(before, after, f"{prefix}{name}.")
        elif json.dumps(before) != json.dumps(after):
            lines.append(f"{prefix}{name}: {before!r} → {after!r}")
    return lines
