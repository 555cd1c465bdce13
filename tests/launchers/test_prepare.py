"""The launcher: what it makes, and its one line when it cannot."""

import json

import pytest

from fml_jax.corpus.face_labels import occluded_share
from fml_jax.corpus.records import decode, read_shard
from fml_jax.synthetic.skin_detail import BEARDED
from tests.launchers.launching import launch


def prepare(*arguments):
    return launch("prepare", *arguments)


def test_photos_and_a_list_become_one_corpus(shared, tmp_path):
    photo = shared / "photos" / "samples" / "obama.jpg"
    person = sorted((shared / "photos" / "lfw").iterdir())[0]
    (tmp_path / "list.txt").write_text(f"{photo},Obama\nmissing.jpg,Nobody\n")
    arguments = [
        f"--input={person}",
        f"--input={tmp_path}/list.txt",
        "--layout=folder",
        "--layout=list",
        "--weight=1",
        "--weight=2",
    ]
    result = prepare(*arguments, "--min_size=41", "--workers=1", f"--output={tmp_path}/corpus")
    assert result.returncode == 0, result.stderr
    card = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    assert [source["weight"] for source in card["sources"]] == [1, 2] and card["settings"]["list"]["min_size"] == 41
    assert f"{card['examples']} of {card['photos']} photos" in result.stdout
    assert "missing.jpg,unreadable" in (tmp_path / "corpus" / "rejected.csv").read_text()


@pytest.mark.parametrize("flags, stored", [(["--beyond"], True), ([], False)])
def test_what_is_stored_of_synthetic_faces(tmp_path, flags, stored):
    result = prepare("--layout=synthetic", "--count=1", *flags, "--workers=1", f"--output={tmp_path}/corpus")
    assert result.returncode == 0, result.stderr
    card = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    assert (card["settings"]["beyond"], card["settings"]["truth"]) == ("--beyond" in flags, stored)
    (example,) = map(decode, read_shard(next((tmp_path / "corpus" / "shards").glob("*.arrayrecord"))))
    assert (example.truth is not None) == stored
    assert card["settings"].get("style", {}).get("adults") == (None if flags else 0.5)


def test_kinds_of_occluders_are_chosen(tmp_path):
    occluders = ["--occluders=blobs", "--unoccluded=0", "--adults=0.25"]
    result = prepare("--layout=synthetic", "--count=2", *occluders, "--workers=1", f"--output={tmp_path}/corpus")
    assert result.returncode == 0, result.stderr
    card = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    style = card["settings"]["style"]
    assert style == {"kinds": ["blobs"], "unoccluded": 0.0, "photographic": True, "bearded": BEARDED, "adults": 0.25}
    examples = map(decode, read_shard(next((tmp_path / "corpus" / "shards").glob("*.arrayrecord"))))
    assert all(0.02 < occluded_share(example.labels) < 0.6 for example in examples)


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "--input is missing"),
        (["--input=/nowhere"], "/nowhere: no such file, folder or pattern"),
        (["--input=a", "--input=b", "--weight=1"], "one for each --input"),
        (["--input=a", "--weight=0"], "weights above 0"),
        (["--layout=celeba", "--input=."], "identity_CelebA.txt is missing"),
        (["--input=.", "--beyond"], "belong to --layout=synthetic"),
        (["--input=.", "--occluders=hats"], "belong to --layout=synthetic"),
        (["--layout=synthetic", "--occluders=scarves"], "'scarves' is unknown; choose among masks"),
        (["--layout=synthetic", "--beyond", "--occluders=hats"], "nothing occludes the faces of --beyond"),
        (["--layout=synthetic", "--beyond", "--adults=1"], "a population of their own"),
        (["--input=.", "--adults=1"], "belong to --layout=synthetic"),
        (["--layout=synthetic", "--layout=lfw", "--input=a", "--input=b"], "a corpus of its own"),
        (["--layout=synthetic", "--input=/nowhere"], "/nowhere: no such file, folder or pattern"),
        (["--layout=synthetic", "--input=setup.py"], "setup.py: no photo that can be a background"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, arguments, said):
    result = prepare(*arguments, f"--output={tmp_path}/corpus")
    assert result.returncode == 1
    assert said in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr
    assert not (tmp_path / "corpus").exists()  # no plan that would refuse the corrected command


def test_an_output_that_is_a_file(tmp_path):
    (tmp_path / "taken.jpg").touch()
    result = prepare("--layout=synthetic", "--count=1", f"--output={tmp_path}/taken.jpg")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "taken.jpg: not a folder that can be written" in result.stderr.splitlines()[-1]


def test_a_landmark_model_of_another_kind(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("FML_FACE_LANDMARKER", "README.md")
    result = prepare(f"--input={shared}/photos/samples", f"--output={tmp_path}/corpus")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "README.md: not MediaPipe's face landmark model" in result.stderr.splitlines()[-1]
