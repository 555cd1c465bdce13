"""Times the making of a corpus beside its detector and landmarker calls, and the reading of it beside training.

    python -m benchmarks.corpus --photos=LFW [--count=300]

Each photo is read, made into an example and encoded; then the very calls to detector and landmarker
that this made are repeated alone. The records become a corpus, which Grain reads: plain records,
decoded ones, and training batches, next to the light encoder's training (forward and backward).
"""

import tempfile
import time
from pathlib import Path
from unittest import mock

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from fml_jax.corpus import examples
from fml_jax.corpus.building import PhotoMaker, build
from fml_jax.corpus.card import open_corpus
from fml_jax.corpus.examples import Settings
from fml_jax.corpus.layouts import Source, find_photos
from fml_jax.corpus.loader import CorpusBatches, CorpusRecords
from fml_jax.corpus.records import Example, decode, encode
from fml_jax.face_model.files import load_face_model
from fml_jax.networks.encoders import make_encoder
from fml_jax.photos import landmarks

_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos, one folder a person.", required=True)
_COUNT = flags.DEFINE_integer("count", 300, "Photos, spread over the folder.", lower_bound=20)
_BATCH = 64


def main(_):
    cv2.setNumThreads(1)
    photos = find_photos([Source("lfw", _PHOTOS.value)])
    photos = photos[:: max(1, len(photos) // _COUNT.value)][: _COUNT.value]
    make = PhotoMaker({"lfw": Settings(off_centre=0.2)})
    make.start()
    whole, calls = _time_making(make, photos)
    print(f"{len(photos)} photos, one process:")
    print(f"  read, make, encode         {1e3 * whole / len(photos):7.1f} ms a photo")
    print(f"  its calls of models alone  {1e3 * calls / len(photos):7.1f} ms a photo; ratio {whole / calls:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        about = {"sources": [{"name": "lfw", "weight": 1.0, "input": "", "where": "", "terms": ""}]}
        build(Path(folder), photos, make, about=about, workers=1)
        _time_reading(Path(folder))


def _time_making(make, photos) -> tuple[float, float]:
    """Seconds for all of it, and for its model calls repeated alone, photo by photo in turns."""
    make(photos[0])  # loads the models
    whole = alone = 0.0
    for photo in photos:
        begin = time.perf_counter()
        made = make(photo)
        if isinstance(made, Example):
            encode(made)
        whole += time.perf_counter() - begin
        calls = _calls_of(make, photo)
        begin = time.perf_counter()
        for call, argument in calls:
            call(argument)
        alone += time.perf_counter() - begin
    return whole, alone


def _calls_of(make, photo) -> list:
    """(function, picture) of each look that detector and landmarker take."""
    calls, look = [], landmarks._detect

    def noted(call):
        return lambda rgb: calls.append((call, rgb)) or call(rgb)

    with (
        mock.patch.dict(examples.DETECT, {name: noted(detect) for name, detect in examples.DETECT.items()}),
        mock.patch.object(landmarks, "_detect", noted(look)),
    ):
        make(photo)
    return calls


def _time_reading(folder: Path) -> None:
    corpus = open_corpus(folder)
    records = CorpusRecords(corpus, corpus.entries)
    batches = CorpusBatches(folder, "train", _BATCH)
    order = np.random.default_rng(0).permutation(len(records))
    training = _training_rate()
    rates = {
        "records": _rate(lambda: [records[k] for k in order], len(order)),
        "decoded records": _rate(lambda: [decode(records[k]) for k in order], len(order)),
        "training batches": _rate(lambda: [batches.batch(step) for step in range(4)], 4 * _BATCH),
    }
    print(f"the light encoder trains on    {training:8.0f} crops a second")
    for name, rate in rates.items():
        print(f"Grain reads, {name:<17} {rate:8.0f} a second, {rate / training:.1f} times that")


def _training_rate() -> float:
    encoder = make_encoder("light", load_face_model().code_sizes.total)
    params = jax.jit(encoder.init)(jax.random.key(0), jnp.zeros((1, 240, 240, 3)))["params"]

    def loss(params, crops):
        return sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(encoder.apply({"params": params}, crops)))

    step, crops = jax.jit(jax.grad(loss)), jnp.full((_BATCH, 240, 240, 3), 0.5)
    return _rate(lambda: jax.block_until_ready(step(params, crops)), _BATCH)


def _rate(work, count: int, repeats: int = 3) -> float:
    """Of the fastest repeat; the first call, which compiles or opens files, is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return count / min(seconds)


if __name__ == "__main__":
    app.run(main)
