"""A training run small enough for tests: a linear encoder, the tiny model, batches made from a seed.

Also a program (`python -m tests.training.stub WORKDIR JSON`, the arguments of `small_config`), so that
a run can be killed or have devices of its own, and ADDRESS COUNT INDEX where it is one of COUNT processes.
"""

import json
import os
import sys
from pathlib import Path
from unittest import mock

import flax.linen as nn
import jax
import numpy as np

from fml_jax.configs.common import defaults, groups, stage
from fml_jax.networks.encoders import output_layers
from fml_jax.ops.products import Dense
from fml_jax.training.config import DataConfig, RunConfig, StageConfig, run_config


class LinearEncoder(nn.Module):
    """Computes the code from 6×6 averages of the crop."""

    code_size: int

    @nn.compact
    def __call__(self, crops):
        small = crops.reshape(len(crops), 6, 40, 6, 40, 3).mean((2, 4)).reshape(len(crops), -1)
        features = nn.relu(Dense(16, name="hidden")(small))
        return output_layers(self, features)


class StubBatches:
    """Rows that depend on seed and step only, like the real ones."""

    def __init__(self, data, stage, seed):
        self._seed, self._synthetic, self._photos = seed, stage.synthetic, stage.photos

    def batch(self, step):
        rng = np.random.default_rng([self._seed, step])
        rows = self._synthetic + self._photos
        code = rng.normal(0, 0.5, (rows, 41)).astype(np.float32)
        code[:, 8:14] = [np.pi, 0, 0, 0, 0, 900]
        code[:, 14:17] = 1
        return {
            "crop": rng.integers(0, 255, (rows, 240, 240, 3), dtype=np.uint8),
            "mask": np.ones((rows, 240, 240), np.uint8),
            "landmarks": rng.uniform(60, 180, (rows, 68, 2)).astype(np.float32),
            "confidence": np.ones((rows, 68), np.float32),
            "eyes": rng.uniform(60, 180, (rows, 14, 2)).astype(np.float32),
            "is_face": (np.arange(rows) % 4 > 0).astype(np.float32) if self._photos else np.ones(rows, np.float32),
            "code": code,
            "has_code": (np.arange(rows) < self._synthetic).astype(np.float32),
        }


def small_settings(
    steps=(12,), rows=(4, 4), checkpoint_every=5, levels=None, kind="linear", optimizer="adam", **others
):
    """A ConfigDict with one stage for each entry of `steps`, of the base level unless `levels` has another one.

    With Adadelta, up to eight photos and no synthetic faces, all matrices have low-rank gradients.
    """
    config = defaults()
    levels = levels or ["base"] * len(steps)
    config.stage_order = tuple(f"stage{k}" for k in range(len(steps)))
    if "full" in levels:
        config.correctives.update(kind=kind, geometry=8, reflectance=8)
    stages = {}
    for name, count, level in zip(config.stage_order, steps, levels, strict=False):
        stages[name] = stage(count, *rows, learning_rate=1e-3)
        stages[name].level = level
        stages[name].optimizer.update(name=optimizer, schedule="constant")
        if optimizer == "adadelta":
            stages[name].optimizer.clip = 0.0
        if "full" in levels:
            stages[name].optimizer.groups = two_rates(1e-3, 1e-3 if level == "full" else 0.0)
    config.stages = stages
    config.update(log_every=1, checkpoint_every=checkpoint_every, evaluate_every=1000, delta_faces=20)
    config.update({"sheet_every": 0, "tensorboard": False, **others})
    return config


def small_config(**changes) -> RunConfig:
    """`small_settings` as a `RunConfig`."""
    return run_config(small_settings(**changes))


def two_rates(encoder, others):
    """Groups with a learning rate for the encoder, and one for all parameters of the final level."""
    return groups({"encoder": encoder, "final": others, "correctives": others})


def batch_of(step, synthetic=0, photos=0, seed=0):
    """A batch of `StubBatches`."""
    optimizer = small_config().stages["stage0"].optimizer
    return StubBatches(DataConfig(), StageConfig(optimizer, 1, synthetic, photos), seed).batch(step)


def held_out_rows(data, kind, rows):
    """A stub of `validation_batch` with rows of each kind."""
    return batch_of(1_000_000, **{kind: 6})


def run(config: RunConfig, workdir: Path, held_out=lambda *_: None, data_workers: int = 0):
    """`loop.train` on stubs."""
    from fml_jax.networks import multilevel
    from fml_jax.training import loop
    from fml_jax.training import low_rank_gradients as factors
    from tests.tiny_face import make_tiny_model

    stubs = {
        "StageBatches": StubBatches,
        "validation_batch": held_out,
        "load_face_model": lambda path, detail: make_tiny_model(),
    }
    encoder = mock.patch.object(multilevel, "make_encoder", lambda name, size: LinearEncoder(size))
    large = mock.patch.object(factors, "_LARGE", 0)
    with encoder, large, mock.patch.multiple(loop, **stubs):
        return loop.train(config, Path(workdir), data_workers)


if __name__ == "__main__":
    if len(sys.argv) > 3:  # one of several processes
        address, count, index = sys.argv[3:]
        jax.distributed.initialize(address, int(count), int(index))
    workers = int(os.environ.get("STUB_DATA_WORKERS", 0))
    run(small_config(**json.loads(sys.argv[2])), Path(sys.argv[1]), data_workers=workers)
