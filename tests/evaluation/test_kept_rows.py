"""Measurements go on where they were stopped."""

import json
import os

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.evaluation import kept_rows
from fml_jax.evaluation.kept_rows import FOLDER, KeptRows


class Counting:
    """A measurement that notes what it was asked."""

    def __init__(self, stop_at: str | None = None):
        self.asked, self._stop_at = [], stop_at

    def __call__(self, item: str):
        if item == self._stop_at:
            raise KeyboardInterrupt
        self.asked.append(item)
        return None if item == "wall" else {"photo": item, "error": np.float32(len(item)), "many": np.arange(2)}


def test_a_second_start_measures_only_what_is_missing(tmp_path):
    first, second = Counting(stop_at="c"), Counting()
    with pytest.raises(KeyboardInterrupt):
        KeptRows(tmp_path, "photos", {"weights": "a"}).measured(["a", "wall", "c"], first)
    rows = KeptRows(tmp_path, "photos", {"weights": "a"}).measured(["a", "wall", "c", "dd"], second)
    assert (first.asked, second.asked) == (["a", "wall"], ["c", "dd"])
    assert rows == [{"photo": name, "error": len(name), "many": [0, 1]} for name in ("a", "c", "dd")]


def lengths(item: str) -> dict:
    return {"photo": item, "length": len(item), "process": os.getpid()}


def test_several_processes_give_the_same_rows_in_the_same_order(tmp_path):
    names = ["a", "bbb", "cc", "dddd"]
    rows = KeptRows(tmp_path, "photos", {}).measured(names, lengths, workers=2)
    assert [(row["photo"], row["length"]) for row in rows] == [(name, len(name)) for name in names]
    assert os.getpid() not in {row["process"] for row in rows}
    assert KeptRows(tmp_path, "photos", {}).measured(names, Counting("a")) == rows


def test_processes_are_as_many_as_are_worth_their_start(monkeypatch):
    monkeypatch.setattr(kept_rows, "available_cores", lambda: 4)
    assert [kept_rows._worth_their_start(items) for items in (0, 30, 60, 1000)] == [1, 1, 3, 4]


def test_rows_of_other_settings_are_kept_apart(tmp_path):
    kept, other = (KeptRows(tmp_path, "photos", {"weights": name}) for name in "ab")
    kept.measured(["a"], Counting())
    again = Counting()
    other.measured(["a"], again)
    assert again.asked == ["a"] and kept.path != other.path
    assert "a" in KeptRows(tmp_path, "photos", {"weights": "a"})


def test_a_line_that_was_being_written_is_measured_anew(tmp_path):
    kept = KeptRows(tmp_path, "photos", {})
    kept.measured(["a", "b"], Counting())
    whole = kept.path.read_text()
    kept.path.write_text(whole[:-8])
    again = Counting()
    KeptRows(tmp_path, "photos", {}).measured(["a", "b"], again)
    assert again.asked == ["b"]
    assert kept.path.read_text() == whole
    assert json.loads(whole.splitlines()[0]) == {"settings": {}}


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / FOLDER).write_text("")
    with pytest.raises(InputError, match="not a folder that can be written"):
        KeptRows(tmp_path, "photos", {})
