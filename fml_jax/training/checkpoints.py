"""Checkpoints of training, by Orbax: the only file that knows its interface."""

import json
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from fml_jax.errors import InputError


class Checkpoints:
    """The checkpoints of one run, in `WORKDIR/checkpoints`; each is complete or absent."""

    def __init__(self, workdir: Path, keep: int = 3):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager((Path(workdir) / "checkpoints").resolve(), options=options)

    def save(self, state, config: dict) -> None:
        """Keeps a state and the config that it was trained with; one of this step already kept is left."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        try:
            items = ocp.args.Composite(state=ocp.args.StandardSave(state), config=ocp.args.JsonSave(config))
            self._manager.save(step, args=items)
            self._manager.wait_until_finished()
        except OSError as error:
            raise InputError(
                f"checkpoint of step {step} could not be written ({error}); earlier ones are kept, "
                "make room or choose another --workdir, then run the same command"
            ) from error

    def latest_step(self) -> int | None:
        """Steps done in the newest checkpoint, None before the first."""
        return self._manager.latest_step()

    def restore(self, template):
        """The newest state, laid out as `template` (arrays or shapes with shardings).

        Raises:
          InputError: it has other arrays.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        try:
            return self._manager.restore(self.latest_step(), args=items).state
        except ValueError as error:
            raise InputError(
                f"{self._manager.directory}: the checkpoint of step {self.latest_step()} does not fit this config, "
                "whose network or optimizer has other arrays; choose another --workdir"
            ) from error

    def saved_config(self) -> dict:
        """The config of the newest checkpoint."""
        items = ocp.args.Composite(config=ocp.args.JsonRestore())
        return self._manager.restore(self.latest_step(), args=items).config

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()


def changes(old: dict, new: dict, prefix: str = "") -> list[str]:
    """What differs between two configs, one readable line a field."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += changes(before, after, f"{prefix}{name}.")
        elif json.dumps(before) != json.dumps(after):
            lines.append(f"{prefix}{name}: {before!r} → {after!r}")
    return lines
