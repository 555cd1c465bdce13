"""The network and its decoder as ONNX files: onnxruntime finds the same faces as JAX, from the command on."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import onnxruntime
import pytest

import fml_jax
from fml_jax.export.onnx.models import decoder_function, network_function
from fml_jax.photos.crops import crop_photo

ROOT = Path(__file__).parents[3]
LARGEST = {"vertices": 0.01, "reflectance": 1e-3, "colours": 1e-3, "landmarks": 0.01}  # mm, RGB, RGB, pixels

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crops(face):
    """Three crops of a face, [3, 240, 240, 3]."""
    moved = [face.crop_from_photo + np.array([[0, 0, x], [0, 0, y]]) for x, y in ((0, 0), (12, -7), (-9, 4))]
    return np.stack([crop_photo(face.photo, affine) for affine in moved]).astype(np.float32) / 255


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The network's file; the decoder's is beside it."""
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    command = [sys.executable, "-m", "experiments.export", "--format=onnx", f"--output={path}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def found(written, crops):
    return run(written, crops=crops)


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path)
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


def assert_alike(found, wanted):
    assert set(found) == set(wanted)
    for name, largest in LARGEST.items():
        assert np.abs(found[name] - wanted[name]).max() < largest, name


def test_the_network_finds_the_faces_that_jax_finds(found, crops):
    model, network = fml_jax.load_face_model(), fml_jax.load_network()
    wanted = jax.jit(jax.vmap(network_function(network, model)))(crops)
    assert_alike(found, wanted)
    assert {"scores", "landmark_uncertainty", "code", "delta"} <= set(found)
    np.testing.assert_allclose(found["code"], wanted["code"], atol=2e-3)
    np.testing.assert_allclose(found["scores"], wanted["scores"], atol=1e-4)


def test_they_are_those_of_a_reconstructor(found, face):
    # A crop in ordinary light: it is not balanced.
    assert np.abs(found["vertices"][0] - face.vertices).max() < 0.1  # mm; the crop was 8-bit there, too


def test_the_decoder_returns_the_faces_of_codes(written, found):
    codes = {name: found[name] for name in ("code", "delta")}
    decoded = run(written.with_name("network_decoder.onnx"), **codes)
    wanted = jax.jit(jax.vmap(decoder_function(fml_jax.load_network(), fml_jax.load_face_model())))(**codes)
    assert_alike(decoded, wanted)
    assert_alike(decoded, {name: found[name] for name in decoded})


def test_the_example_runs_without_jax(written, crops, tmp_path):
    np.save(tmp_path / "crops.npy", crops)
    (tmp_path / "jax.py").write_text("raise ImportError")
    command = [sys.executable, str(ROOT / "examples" / "onnx_face.py"), str(written), str(tmp_path / "crops.npy")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert "(3, " in shown and len(shown.splitlines()) == 2
