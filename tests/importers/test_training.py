"""Training on imported models: the loss falls, the weights reconstruct; and the paper's config at the paper's size."""

import json

import cv2
import numpy as np
import pytest
from skimage import data

import fml_jax
from fml_jax.face_model import load_learned_model
from fml_jax.importers.sources import import_face_model
from tests.importers import layouts
from tests.launchers.launching import launch


def _launched(name, *arguments):
    result = launch(name, *arguments)
    assert result.returncode == 0, result.stderr
    return result


def _losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return np.array([line["loss"] for line in lines if "loss" in line])


@pytest.mark.slow
def test_a_short_training_on_an_imported_model_learns_and_reconstructs(imported, tmp_path):
    model = f"--face_model={imported.model}"
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    _launched("prepare", "--layout=synthetic", "--count=48", "--workers=1", model, f"--output={corpus}")
    _launched(
        "train",
        "--config=quick",
        model,
        f"--config.data.synthetic={corpus}",
        "--config.data.synthetic_validation=",
        "--config.stages.synthetic.steps=40",
        "--config.stages.synthetic.synthetic=8",
        "--config.log_every=1",
        "--config.sheet_every=40",
        "--config.evaluate_every=40",
        f"--workdir={run}",
    )
    losses = _losses(run)
    assert len(losses) == 40 and losses[-10:].mean() < 0.85 * losses[:5].mean()
    assert list((run / "sheets").glob("*.png"))
    reconstructor = fml_jax.Reconstructor(run / "weights.npz", face_model=imported.model, min_score=0.0)
    face = reconstructor(data.astronaut())[0]
    assert face.model.name.startswith("model2019_bfm-") and len(face.code.identity) == 6
    (overlay,) = face.save(tmp_path / "out", formats="overlay")
    assert cv2.imread(str(overlay)).std() > 10
    beyond, tables = tmp_path / "beyond", tmp_path / "tables"
    _launched("prepare", "--layout=synthetic", "--beyond", "--count=2", "--workers=1", model, f"--output={beyond}")
    chosen = ["--tables=synthetic,geometry", "--norefine", f"--synthetic={beyond}", "--count=1"]
    told = _launched("evaluate", model, f"--weights={run / 'weights.npz'}", *chosen, f"--output={tables}").stdout
    assert "identity ratio" in told and "best in span" in told and "open model" not in told.split("best in span")[0]
    with pytest.raises(fml_jax.InputError, match="made for the face model model2019_bfm"):
        fml_jax.Reconstructor(run / "weights.npz")


@pytest.mark.slow
def test_the_papers_config_runs_both_stages_on_a_basel_model_of_the_papers_size(tmp_path):
    people = layouts.enlarged(layouts.open_population(), layouts.FULL_VERTICES)
    folder = layouts.write_bfm2009(tmp_path / "bfm", people, layouts.FACEWAREHOUSE_VERTICES)
    path = tmp_path / "bfm.npz"
    import_face_model("bfm2009", folder, path)
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    # Renders of the open model serve as photos: their crops and landmarks alone are used.
    _launched("prepare", "--layout=synthetic", "--count=20", "--workers=1", f"--output={corpus}")
    steps = [f"--config.stages.{stage}.steps=20" for stage in ("base", "full")]
    intervals = [f"--config.{name}=40" for name in ("evaluate_every", "sheet_every", "checkpoint_every")]
    few = ["--config.delta_faces=20", "--config.validation_rows=5", "--config.log_every=1"]
    photos = f"--config.data.photos={corpus}"
    _launched("train", "--config=paper", f"--face_model={path}", photos, *steps, *intervals, *few, f"--workdir={run}")
    losses = _losses(run)
    assert len(losses) == 40 and np.isfinite(losses).all()
    learned = load_learned_model(run / "face_model.npz")
    assert learned.base.vertex_count == layouts.FULL_VERTICES
    assert learned.base.code_sizes == (80, 64, 80) and learned.sizes == (500, 500)
    stages = json.loads((run / "config.json").read_text())["stages"]
    rates = {
        name: [group["learning_rate"] for group in stages[name]["optimizer"]["groups"].values()] for name in stages
    }
    assert rates == {"base": [0.01, 0, 0, 0], "full": [0.001, 0.1, 0.005, 0.01]}  # encoder, δ, geometry, reflectance
