"""A slow build of made-up photos, which a test can kill: python -m tests.corpus.stub_build FOLDER WORKERS."""

import sys
import time
from pathlib import Path
from typing import NamedTuple

from fml_jax.corpus.examples import Rejected
from fml_jax.corpus.shards import build_shards
from fml_jax.runners import run_in_processes
from tests.corpus.test_records import make_record_example

COUNT, PER_SHARD, SECONDS = 60, 4, 0.02


class Number(NamedTuple):
    name: str
    source: str
    number: int


class Make:
    def __init__(self, seconds):
        self._seconds = seconds

    def __call__(self, item):
        time.sleep(self._seconds)
        if item.number % 7 == 3:
            return Rejected("no face", f"number {item.number}")
        return make_record_example(item.number)


def build(folder, workers, seconds=0.0, runner=run_in_processes):
    items = [Number(f"stub/{k}", "stub", k) for k in range(COUNT)]
    return build_shards(Path(folder), items, Make(seconds), workers=workers, per_shard=PER_SHARD, runner=runner)


if __name__ == "__main__":
    build(sys.argv[1], int(sys.argv[2]), SECONDS)
