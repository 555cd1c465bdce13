"""Batches that are made once and drawn again, with what the constant parts of a network answer to them.

A stage that trains the final level alone takes two thirds of its time for the encoder, the local stages and the solved
colours, whose answers to a crop do not change. Stored, they cost nothing from the second time on. In exchange the stage
sees a limited number of crops, and needs 0.3 MB of disk for each.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.files import complete_or_absent
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.networks.encoders import EncoderOutput
from fml_jax.networks.multilevel import Network
from fml_jax.ops.arrays import Array
from fml_jax.ops.images import unit_range
from fml_jax.safe_npz import read_npz, write_npz
from fml_jax.training.config import RunConfig, StageConfig
from fml_jax.training.step import ANSWERS

FOLDER = "answers"  # of a run, or of a set of runs that share them
_VERSION = 1  # raise it when crops are drawn otherwise, or answered otherwise by the same parameters
_COLUMN = "batch/"
_SEED = 0  # of the batches: runs of several seeds share them


def seed_of_batches(config: RunConfig, stage: StageConfig) -> int:
    """The seed with which a stage's batches are made."""
    return _SEED if stage.stored else config.seed


class StoredBatches:
    """The batches of a stage whose encoder and local stages are constant, each made at its first use.

    Runs share files where batches and answers are equal: a folder's name is made from all that they depend on.
    """

    def __init__(
        self,
        make_batch: Callable[[int], dict],
        network: Network,
        params: dict,
        *,
        model: BaseModel,
        config: RunConfig,
        stage: StageConfig,
        corpora: Sequence[str],
        folder: Path,
    ) -> None:
        """
        Args:
          make_batch: makes the batch of a number, with the seed `seed_of_batches`.
          params: of the network; they are copied.
          config: its seed is that of the order in which batches are drawn.
          corpora: checksums of the stage's data.
          folder: of the folders of stored batches.
        """
        self._params = {name: jax.tree.map(jnp.copy, params[name]) for name in ("encoder", "local") if name in params}
        self._make_batch, self._model, self._count, self._seed = make_batch, model, stage.stored, config.seed
        self._answer = jax.jit(functools.partial(answered, network))
        crops = jax.ShapeDtypeStruct((stage.rows, CROP_SIZE, CROP_SIZE, 3), np.uint8)
        self._form = jax.eval_shape(self._answer, self._params, model, crops=crops)
        known = [_VERSION, model.name, config.detail, config.reflectance_modes, config.encoder, config.masks]
        known += [config.solve_colours, stage.synthetic, stage.photos, bool(stage.occlusion), list(corpora)]
        name = hashlib.sha256(json.dumps([*known, str(self._form), _checksum(self._params)]).encode()).hexdigest()
        self._folder = folder / name[:12]

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, with an `EncoderOutput` in the column ANSWERS; equal in every call.

        Raises:
          InputError: a stored file is damaged.
        """
        epoch, place = divmod(step, self._count)
        number = int(np.random.default_rng((self._seed, epoch)).permutation(self._count)[place])
        path = self._folder / f"{number:05}.npz"
        if not path.is_file():
            self._store(path, jax.device_get(self._make_batch(number)))
        try:
            arrays = read_npz(path, "stored batch")
        except InputError as error:
            raise InputError(f"{path}: is damaged; delete it, and it is made again ({error})") from error
        batch = {name.removeprefix(_COLUMN): array for name, array in arrays.items() if name.startswith(_COLUMN)}
        answers = [arrays[name] for name in sorted(arrays) if not name.startswith(_COLUMN)]
        return {**batch, ANSWERS: jax.tree.unflatten(jax.tree.structure(self._form), answers)}

    def _store(self, path: Path, batch: dict[str, np.ndarray]) -> None:
        answers = jax.tree.leaves(jax.device_get(self._answer(self._params, self._model, crops=batch["crop"])))
        columns = {f"{_COLUMN}{name}": np.asarray(column) for name, column in batch.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with complete_or_absent(path) as partial:
            write_npz(partial, columns | {f"{place:03}": each for place, each in enumerate(answers)})


def answered(network: Network, params: dict, model: BaseModel, *, crops: UInt8[Array, "B 240 240 3"]) -> EncoderOutput:
    """What the constant parts answer; the points of the local stages are left out, since nothing is trained by them."""
    output = network.encode(params, unit_range(crops))
    return network.with_base(output, model, unit_range(crops))._replace(local=None)


def _checksum(params: dict) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(str(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
