"""Measures clips: frames a second, and on renders with known motion jitter and lag.

    python -m benchmarks.clip [--input=clip.mp4] [--frames=75]

Prints, for rendered clips of 240 pixels, the landmarks' jitter (the root mean square of how their error changes between
frames) in pixels and relative to frames by themselves, their lag in frames, and their error. Then it prints how many
frames of a 640-pixel clip, or of --input, are followed each second without writing files, beside a matrix product of
the same run: on a machine that does other work at the same time, compare the ratios.
"""

import tempfile
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_jax.evaluation.tables import markdown
from fml_jax.reconstruction import Reconstructor
from fml_jax.synthetic.clips import RATE, RenderedClip, render_clip
from fml_jax.video.clips import Clip, ClipWriter, Frame
from fml_jax.video.reconstructing import reconstruct_clip

_INPUT = flags.DEFINE_string("input", None, "Clip for the speed; by default a rendered one.")
_FRAMES = flags.DEFINE_integer("frames", 75, "Frames of the rendered clips.", lower_bound=8)
_SEEDS = flags.DEFINE_integer("clips", 2, "Rendered clips.", lower_bound=1)

SIDE = 640


def main(_):
    reconstructor = Reconstructor.default()
    with tempfile.TemporaryDirectory() as folder:
        place, rows = Path(folder), []
        for seed in range(_SEEDS.value):
            rendered = render_clip(reconstructor.model, np.random.default_rng([7, seed]), _FRAMES.value)
            write(place / f"{seed}.mp4", rendered.frames)
            rows += motion_rows(reconstructor, place / f"{seed}.mp4", rendered)
        print(markdown(["clip", "jitter, px", "of single frames", "lag, frames", "error, px"], rows))
        large = [cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for rgb in rendered.frames]
        write(place / "large.mp4", large)
        print(speed(reconstructor, Path(_INPUT.value) if _INPUT.value else place / "large.mp4"))


def write(path: Path, frames) -> None:
    """Writes RGB pictures as a clip."""
    with ClipWriter(path, RATE) as writer:
        for k, rgb in enumerate(frames):
            writer.write(Frame(k, k / Fraction(RATE), rgb))


def motion_rows(reconstructor, path: Path, rendered: RenderedClip) -> list[tuple]:
    """The table's rows of one rendered clip."""
    alone = [max(reconstructor(frame.rgb), key=lambda face: face.score) for frame in tqdm(Clip(path).frames())]
    found = {
        "frames by themselves": np.stack([face.landmarks68 for face in alone]),
        "followed": reconstruct_clip(reconstructor, path, smoothing=0.0).people[0].landmarks68,
        "followed and smoothed": reconstruct_clip(reconstructor, path).people[0].landmarks68,
    }
    true, rows = rendered.landmarks68, []
    base = jitter(found["frames by themselves"], true)
    for name, landmarks in found.items():
        each = jitter(landmarks, true)
        error = np.linalg.norm(landmarks - true, axis=-1).mean()
        rows.append((name, f"{each:.3f}", f"{each / base:.2f}", f"{lag(landmarks, true):+.3f}", f"{error:.2f}"))
    return rows


def jitter(landmarks: np.ndarray, true: np.ndarray) -> float:
    """The root mean square of how the error changes from frame to frame, pixels."""
    return float(np.sqrt((np.diff(landmarks - true, axis=0) ** 2).sum(axis=-1).mean()))


def lag(landmarks: np.ndarray, true: np.ndarray) -> float:
    """By how many frames the landmarks come late, by least squares."""
    speed, late = np.gradient(true, axis=0), true - landmarks
    speed, late = (part - part.mean(axis=0) for part in (speed, late))
    return float((late * speed).sum() / (speed**2).sum())


def speed(reconstructor, path: Path) -> str:
    """Frames a second of a second run, when everything is compiled; wall-clock time and the process's own."""
    reconstruct_clip(reconstructor, path)
    begin, own = time.perf_counter(), time.process_time()
    found = reconstruct_clip(reconstructor, path)
    wall, own = time.perf_counter() - begin, time.process_time() - own
    count = found.frame_count
    return (
        f"\n{count} frames: {count / wall:.1f} a second, {1000 * own / count:.1f} ms of processor time a frame "
        f"({own / wall:.1f} cores were given); {reference():.1f} GFLOP/s in a matrix product"
    )


def reference() -> float:
    """What the machine has left for a product of matrices just now."""
    matrix, times = np.ones((1024, 1024), np.float32), []
    for _ in range(20):
        begin = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - begin)
    return 2 * 1.024**3 / float(np.median(times))


if __name__ == "__main__":
    app.run(main)
