"""Corpora: what a build keeps, what it says of itself, and that a folder takes one plan only."""

import csv
import dataclasses
import json
import os
import shutil

import cv2
import numpy as np
import pytest

from fml_jax.corpus.building import build, build_corpus
from fml_jax.corpus.card import open_corpus
from fml_jax.corpus.layouts import Source
from fml_jax.corpus.records import decode, read_shard
from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.photos.reading import read_photo
from tests.corpus.stub_build import Number
from tests.corpus.test_records import make_record_example


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """24 people, one of them twice, beside a broken photo and one without a face."""
    folder = tmp_path_factory.mktemp("photos")
    people = sorted((shared / "photos" / "lfw").iterdir())[:24]
    for person in people:
        (folder / person.name).mkdir()
        first = sorted(person.iterdir())[0]
        (folder / person.name / first.name).write_bytes(first.read_bytes())
    copy = cv2.cvtColor(read_photo(sorted(people[5].iterdir())[0]), cv2.COLOR_RGB2BGR)
    for name, picture in (("Copy", copy), ("Nobody", np.full((250, 250, 3), 128, np.uint8))):
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / f"{name}.png"), picture)
    (folder / "Broken").mkdir()
    (folder / "Broken" / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def corpus(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    build_corpus([Source("lfw", str(photos))], folder, workers=1, per_shard=10)
    return open_corpus(folder)


def rejected(corpus):
    with (corpus.folder / "rejected.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_every_photo_is_an_example_or_has_a_reason(corpus):
    reasons = {name: row["reason"] for name, row in rejected(corpus).items()}
    assert reasons["lfw/Broken/broken.jpg"] == "unreadable" and reasons["lfw/Nobody/Nobody.png"] == "no face"
    assert corpus.card["photos"] == 27 == len(corpus.entries) + len(reasons) and len(corpus.entries) >= 20
    assert not {entry["name"] for entry in corpus.entries} & set(reasons)
    assert sum(corpus.card["rejected"].values()) == len(reasons)


def test_the_second_of_two_copies_goes(corpus):
    copies = {name: row["detail"] for name, row in rejected(corpus).items() if row["reason"] == "near-duplicate"}
    (late, original), *others = copies.items()
    assert not others and "lfw/Copy/Copy.png" in (late, original.removeprefix("of "))
    assert original.removeprefix("of ") in {entry["name"] for entry in corpus.entries}


def test_the_index_leads_to_the_records(corpus):
    for entry in corpus.entries:
        example = decode(read_shard(corpus.shard_paths()[int(entry["shard"])])[int(entry["row"])])
        assert (example.name, example.person, example.source) == (entry["name"], entry["person"], "lfw")
        assert float(entry["size"]) == pytest.approx(example.stats.size, abs=1e-3)


def test_people_are_split_by_their_names(corpus):
    for entry in corpus.entries:
        assert entry["split"] == split_of(entry["person"])
    assert corpus.card["training"] + corpus.card["validation"] + corpus.card["test"] == corpus.card["examples"]


def test_the_card_says_where_it_came_from(corpus, photos):
    (source,) = corpus.card["sources"]
    assert source["input"] == str(photos) and "Faces in the Wild" in source["where"] and source["terms"]
    assert source["photos"] == 27 and source["examples"] == len(corpus.entries)
    assert corpus.card["settings"]["lfw"]["off_centre"] == 0.2
    assert corpus.card["versions"]["mediapipe"] and len(corpus.card["sha256"]) == 64
    page = (corpus.folder / "index.html").read_text()
    assert page.count("<img ") == len(corpus.entries) and page.count("<svg ") == 6 and "near-duplicate" in page


def test_processes_make_the_same_corpus(corpus, photos, tmp_path):
    build_corpus([Source("lfw", str(photos))], tmp_path, workers=2, per_shard=10)
    for path in corpus.folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(corpus.folder)).read_bytes() == path.read_bytes(), path


def test_a_folder_takes_one_plan_only(corpus, photos):
    with pytest.raises(InputError, match="other settings; choose another"):
        build_corpus([Source("lfw", str(photos))], corpus.folder, settings={"min_size": 50.0}, per_shard=10)
    assert open_corpus(corpus.folder).card == corpus.card


def test_sources_merge(shared, photos, tmp_path):
    (tmp_path / "list.txt").write_text(f"{shared}/photos/samples/obama.jpg,Obama\n")
    sources = [Source("list", str(tmp_path / "list.txt"), 2.0), Source("folder", str(photos / "Nobody"))]
    card = build_corpus(sources, tmp_path / "corpus", workers=1)
    assert [(source["name"], source["weight"], source["examples"]) for source in card["sources"]] == [
        ("list", 2.0, 1),
        ("folder", 1.0, 0),
    ]
    assert json.loads((tmp_path / "corpus" / "corpus.json").read_text()) == card


def test_unfinished_corpora_are_refused(tmp_path):
    with pytest.raises(InputError, match="no finished training corpus"):
        open_corpus(tmp_path)


def test_folders_without_faces_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((250, 250, 3), 128, np.uint8))
    with pytest.raises(InputError, match="none of 1 photos shows a face"):
        build_corpus([Source("folder", str(tmp_path))], tmp_path / "corpus", workers=1)
    assert "no face" in (tmp_path / "corpus" / "rejected.csv").read_text()
    assert not (tmp_path / "corpus" / "corpus.json").exists()


class MakeStub:
    """Photos of 25 people that need no detector."""

    def __call__(self, item):
        return dataclasses.replace(make_record_example(item.number), name=item.name, person=f"Person {item.number}")


def build_stub(folder):
    about = {"sources": [{"name": "lfw", "weight": 1.0, "input": "", "where": "", "terms": ""}]}
    return build(folder, [Number(f"lfw/{k}", "lfw", k) for k in range(25)], MakeStub(), about=about, workers=1)


@pytest.fixture(scope="module")
def stub_size(tmp_path_factory):
    """Bytes that the finished corpus takes."""
    folder = tmp_path_factory.mktemp("whole")
    build_stub(folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.6, 0.7, 0.8, 0.9, 0.98])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(small_disk, stub_size, share):
    """Wherever the disk gets full: at the plan, a shard, the tables, the page or the card."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - int(share * stub_size)))
    with pytest.raises(InputError, match="No space left") as caught:
        build_stub(small_disk / "corpus")
    assert "\n" not in str(caught.value) and not (small_disk / "corpus" / "corpus.json").exists()
    assert not list(small_disk.rglob("*.partial"))
    ballast.unlink()
    assert build_stub(small_disk / "corpus")["examples"] == 25 and not list(small_disk.rglob("*.partial"))


def test_names_that_are_not_unicode_become_rows_that_can_be_printed(tmp_path):
    for name in (b"caf\xe9/1.jpg", b"caf\xe9/2.jpg"):
        path = tmp_path / "photos" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of 2 photos"):
        build_corpus([Source("folder", str(tmp_path / "photos"))], tmp_path / "corpus", workers=1)
    table = (tmp_path / "corpus" / "rejected.csv").read_text("utf-8")
    assert 'folder/caf\\udce9/1.jpg,unreadable,"not a picture' in table
    assert (tmp_path / "corpus" / "index.html").read_text("utf-8")


def test_corpora_with_names_that_are_not_unicode_are_refused(tmp_path):
    with pytest.raises(InputError, match="udcff: not a folder that can be written"):
        build_stub(tmp_path / os.fsdecode(b"bad\xff"))


@pytest.mark.parametrize("output", ["", "x" * 300, "/proc/corpus"])
def test_outputs_that_cannot_be(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="an empty path|not a folder that can be written"):
        build_corpus([Source("folder", "a.jpg")], output, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
