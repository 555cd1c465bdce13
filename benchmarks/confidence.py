"""Tests whether the confidence of landmarks ranks their errors, on renders, whose landmarks are known.

    python -m benchmarks.confidence [--count=120]

Prints a Markdown table: landmarks in order of confidence, with their errors as parts of the face's
size √(w·h), against the model's own landmarks; and Spearman's rank correlation of the two.
"""

import numpy as np
from absl import app, flags
from scipy.stats import spearmanr

from fml_jax.face_model import load_face_model
from fml_jax.photos.landmark_confidence import landmark_confidence
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.rendering import render_synthetic

_COUNT = flags.DEFINE_integer("count", 120, "Renders.", lower_bound=1)
_SHARES = (0, 0.1, 0.25, 0.5, 0.75, 1)
_WRONG = 0.05  # an error beyond this is called wrong


def main(_):
    errors, sure = measure(_COUNT.value)
    edges = np.quantile(sure, _SHARES)
    print("| share of landmarks | confidence | mean error | wrong (over 5 %) |\n| --- | --- | --- | --- |")
    for low, high, share, next_share in zip(edges[:-1], edges[1:], _SHARES[:-1], _SHARES[1:], strict=True):
        own = errors[(sure >= low) & (sure <= high)]
        cells = [f"{share:.0%} to {next_share:.0%}", f"{low:.2f}–{high:.2f}", f"{own.mean():.2%}"]
        print(f"| {' | '.join(cells)} | {np.mean(own > _WRONG):.1%} |")
    print(f"\n{len(errors)} landmarks, rank correlation {spearmanr(errors, sure).statistic:.2f}")


def measure(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors and confidences of all landmarks of the renders that MediaPipe sees a face in."""
    model = load_face_model()
    units, errors, sure = expression_units(model), [], []
    for k in range(count):
        face = render_synthetic(model, units, np.random.default_rng([5, k]))
        found = detect_landmarks(face.crop)
        if found is not None:
            points, size = ibug68(found), np.sqrt(np.prod(np.ptp(face.landmarks, axis=0)))
            errors.append(np.linalg.norm(points - face.landmarks, axis=1) / size)
            sure.append(landmark_confidence(face.crop, points))
    return np.concatenate(errors), np.concatenate(sure)


if __name__ == "__main__":
    app.run(main)
