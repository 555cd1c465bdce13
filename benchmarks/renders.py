"""Counts renders a second and core: in one style after the other, face by face, so that other load falls on all alike.

    python -m benchmarks.renders [--count=40]

The processor's time is measured, not the clock's; set OMP_NUM_THREADS=1 to count one core's work alone.
"""

import time

import cv2
import jax
import numpy as np
from absl import app, flags
from tqdm import trange

from fml_jax.face_model.files import load_face_model
from fml_jax.synthetic.adults import ADULT_SHARE
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.occluders.names import KINDS
from fml_jax.synthetic.rendering import PLAIN, Style, render_synthetic

_COUNT = flags.DEFINE_integer("count", 40, "Faces in each style.", lower_bound=5)
_STYLES = {
    "plain": PLAIN,
    "photographic, nothing in front": Style(kinds=()),
    "photographic, as in a corpus": Style(adults=ADULT_SHARE),
    "photographic, always an occluder": Style(kinds=KINDS, unoccluded=0.0),
}


def main(_):
    cv2.setNumThreads(1)
    model = jax.device_put(load_face_model())
    units = expression_units(model)
    seconds: dict[str, list[float]] = {name: [] for name in _STYLES}
    for k in trange(_COUNT.value, unit="face", leave=False):
        for name, style in _STYLES.items():
            begin = time.process_time()
            render_synthetic(model, units, np.random.default_rng([1, k]), style=style)
            seconds[name].append(time.process_time() - begin)
    plain = np.mean(seconds["plain"][3:])
    for name, each in seconds.items():
        mean = np.mean(each[3:])  # the first ones compile
        print(f"{name:34} {1e3 * mean:6.1f} ms, {1 / mean:5.1f} a second and core, {mean / plain:.2f} of plain")


if __name__ == "__main__":
    app.run(main)
