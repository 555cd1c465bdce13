"""Batches that are made once and drawn again, with what the constant parts of a network answer to them.

A stage that trains the final level alone takes four fifths of its time for the encoder, the local stages and the solved
colours, whose answers to a crop do not change. Stored, they cost nothing from the second time on. In exchange the stage
sees a limited number of crops, and needs 0.3 MB of disk for each.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.face_model.base import BaseModel
from fml_jax.files import complete_or_absent
from fml_jax.networks.encoders import EncoderOutput
from fml_jax.networks.multilevel import Network
from fml_jax.ops.images import unit_range
from fml_jax.safe_npz import read_npz, write_npz
from fml_jax.training.config import RunConfig, StageConfig, as_dict
from fml_jax.training.step import ANSWERS

FOLDER = "answers"  # of a run, or of a set of runs that share them
_COLUMN = "batch/"
# The fields of a config that the stored batches and answers depend on; the final level's parameters are not among them.
_FIELDS = ("encoder", "model", "reflectance_modes", "detail", "local_stages", "solve_colours", "data", "masks")
_SEED = 0  # of the stored batches: runs of several seeds share them


def stored_folder(config: RunConfig, stage: StageConfig, folder: Path) -> Path:
    """Where a stage's batches are stored: of one folder for each set of equal batches and answers."""
    known = {name: as_dict(getattr(config, name)) for name in _FIELDS}
    inputs = config.correctives.inputs, stage.synthetic, stage.photos, bool(stage.occlusion)
    weights = hashlib.sha256(Path(config.start_from).read_bytes()).hexdigest() if config.start_from else config.seed
    text = json.dumps([known, inputs, weights], sort_keys=True)
    return folder / hashlib.sha256(text.encode()).hexdigest()[:12]


class StoredBatches:
    """The batches of a stage whose encoder and local stages are constant, each made at its first use."""

    def __init__(
        self,
        make_batch: Callable[[int], dict],
        network: Network,
        params: dict,
        model: BaseModel,
        *,
        count: int,
        folder: Path,
        seed: int,
    ) -> None:
        """
        Args:
          make_batch: makes the batch of a number, with the seed `unstored_seed`.
          params: of the network; they are copied.
          folder: of the files; those that are there are read, whoever wrote them.
          count: how many batches there are.
          seed: of the order in which batches are drawn.
        """
        self._params = {name: jax.tree.map(jnp.copy, params[name]) for name in ("encoder", "local") if name in params}
        self._make_batch, self._model, self._folder = make_batch, model, folder
        self._count, self._seed = count, seed
        self._answer = jax.jit(functools.partial(_answered, network))
        self._known_form: Any = None  # of the answers: how their arrays are nested

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, with an `EncoderOutput` in the column ANSWERS; equal in every call."""
        epoch, place = divmod(step, self._count)
        number = int(np.random.default_rng((self._seed, epoch)).permutation(self._count)[place])
        path = self._folder / f"{number:05}.npz"
        if not path.is_file():
            self._store(path, jax.device_get(self._make_batch(number)))
        arrays = read_npz(path, "stored batch")
        batch = {name.removeprefix(_COLUMN): array for name, array in arrays.items() if name.startswith(_COLUMN)}
        answers = [arrays[name] for name in sorted(arrays) if not name.startswith(_COLUMN)]
        return {**batch, ANSWERS: jax.tree.unflatten(self._form(batch["crop"]), answers)}

    def _form(self, crops: np.ndarray) -> Any:
        if self._known_form is None:
            self._known_form = jax.tree.structure(jax.eval_shape(self._answer, self._params, self._model, crops))
        return self._known_form

    def _store(self, path: Path, batch: dict[str, np.ndarray]) -> None:
        answers = jax.tree.leaves(jax.device_get(self._answer(self._params, self._model, batch["crop"])))
        columns = {f"{_COLUMN}{name}": np.asarray(column) for name, column in batch.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with complete_or_absent(path) as partial:
            write_npz(partial, columns | {f"{place:03}": each for place, each in enumerate(answers)})


def _answered(network: Network, params: dict, model: BaseModel, crops: jax.Array) -> EncoderOutput:
    """What the constant parts answer; the points of the local stages are left out, since nothing is trained by them."""
    output = network.encode(params, unit_range(crops))
    return network.with_base(output, model, unit_range(crops))._replace(local=None)


def unstored_seed(config: RunConfig, stage: StageConfig) -> int:
    """The seed of the batches that a stage makes."""
    return _SEED if stage.stored else config.seed
