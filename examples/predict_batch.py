"""Predicts the faces of many crops in one compiled call.

    python examples/predict_batch.py photo1.jpg photo2.jpg …

Prints a line for each face.
"""

import sys

import jax
import numpy as np

import fml_jax


def predict_all(crops: np.ndarray) -> fml_jax.Prediction:
    """Codes, scores and faces of crops [B, 240, 240, 3] uint8."""
    network, model = fml_jax.load_network(), fml_jax.load_face_model()
    solver = fml_jax.ColourSolver.of(model)
    return jax.jit(network.predict)(network.params, model, crops, solver=solver)


if __name__ == "__main__":
    faces = fml_jax.Reconstructor()(sys.argv[1:])
    prediction = predict_all(np.stack([face.render("photo") for face in faces]))  # pictures "photo" are the crops
    for face, score, vertices in zip(faces, prediction.scores, prediction.faces.vertices, strict=True):
        print(f"{face.source}: score {score:.2f}, {len(vertices)} vertices, width {np.ptp(vertices[:, 0]):.0f} mm")
