"""The score is fitted anew by one command, which a damaged photo does not end."""

import shutil

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from fml_jax.corpus.splits import split_of
from fml_jax.networks.weights import load_weights
from fml_jax.reconstruction.open_network import OPEN_WEIGHTS
from fml_jax.training import score, score_crops
from tests.launchers.launching import launch


@pytest.fixture(scope="module")
def people(shared, tmp_path_factory):
    """Photos and frames of a few people of both splits, in folders as the collections are; one photo is damaged."""
    folder = tmp_path_factory.mktemp("people")
    for name, most in (("lfw", {"train": 3, "validation": 2}), ("youtube", {"train": 1, "validation": 1})):
        left = dict(most)
        for person in sorted((shared / "photos" / name).iterdir()):
            split = split_of(person.name)
            if person.is_dir() and left.get(split, 0):
                left[split] -= 1
                shutil.copytree(person, folder / name / person.name)
    rows = (shared / "photos" / "youtube" / "points68.csv").read_text().splitlines(keepends=True)
    there = [row for row in rows if (folder / "youtube" / row.split(",")[0]).is_file()]
    (folder / "youtube" / "points68.csv").write_text("".join(there))
    damaged = next(path for path in sorted((folder / "lfw").rglob("*.jpg")) if split_of(path.parent.name) == "train")
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:3000])
    return folder


def fit(people, output, *more):
    return launch(
        "fit_score", f"--photos={people}/lfw", f"--frames={people}/youtube", f"--output={output}", "--count=10", *more
    )


def test_only_the_score_is_fitted_and_all_kinds_are_in_the_table(people, tmp_path, monkeypatch):
    monkeypatch.setattr(score, "_BATCH", 10)
    result = fit(people, tmp_path / "weights.npz", "--searched=0")
    assert result.returncode == 0, result.stderr
    assert "left out: " in result.stderr and "damaged or cut short" in result.stderr
    rows = {line.split("|")[1].strip(): line for line in result.stdout.splitlines() if line.startswith("|")}
    assert {*score_crops.FACES, *score_crops.HEADS, *score_crops.OTHERS} <= rows.keys()
    before, after = (flatten_dict(load_weights(path)[0]) for path in (OPEN_WEIGHTS, tmp_path / "weights.npz"))
    changed = {name[0] for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"score"}


@pytest.mark.parametrize("split, folder", [("train", "lfw"), ("validation", "lfw"), ("validation", "youtube")])
def test_people_of_both_splits_are_needed_before_any_work(people, tmp_path, monkeypatch, split, folder):
    monkeypatch.setattr(score_crops, "crops_by_kind", lambda *_, **__: pytest.fail("work has begun"))
    for name in ("lfw", "youtube"):
        shutil.copytree(people / name, tmp_path / name)
    for person in [path for path in (tmp_path / folder).iterdir() if path.is_dir()]:
        if split_of(person.name) == split:
            shutil.rmtree(person)
    points = tmp_path / "youtube" / "points68.csv"
    rows = points.read_text().splitlines(keepends=True)
    points.write_text("".join(row for row in rows if (tmp_path / "youtube" / row.split(",")[0]).is_file()))
    result = fit(tmp_path, tmp_path / "weights.npz")
    flag = {"lfw": "photos", "youtube": "frames"}[folder]
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert f"--{flag}={tmp_path}/{folder}: nobody in it belongs to the {split} split" in result.stderr
    assert not (tmp_path / "weights.npz").exists()
