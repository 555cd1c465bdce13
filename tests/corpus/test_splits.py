"""Splits of people: by name alone, in shares that are known, over all collections alike."""

from collections import Counter

import pytest

from fml_jax.corpus.splits import PARTS, split_of


def test_one_person_in_sixteen_is_held_out_for_each_purpose():
    shares = Counter(split_of(f"Person_{k}") for k in range(16_000))
    assert shares["validation"] == pytest.approx(16_000 / PARTS, rel=0.1)
    assert shares["test"] == pytest.approx(16_000 / PARTS, rel=0.1)


@pytest.mark.parametrize(
    "person, split",
    [
        ("Aaron_Eckhart", "train"),
        ("Aaron_Guiel", "validation"),
        ("Abbas_Kiarostami", "test"),
        ("", "train"),
    ],
)
def test_splits_stay_as_they_were_when_weights_were_trained(person, split):
    assert split_of(person) == split


def test_spaces_in_names_do_not_change_the_split():
    people = [f"Person {k}" for k in range(100)]
    assert [split_of(person) for person in people] == [split_of(person.replace(" ", "_")) for person in people]


def test_names_that_are_not_unicode_have_a_split():
    assert split_of(b"caf\xe9".decode("utf-8", "surrogateescape")) in ("train", "validation", "test")


def test_both_collections_of_names_have_people_in_each_split(shared):
    for collection, least in (("lfw", 300), ("youtube", 20)):
        people = [folder.name for folder in (shared / "photos" / collection).iterdir() if folder.is_dir()]
        shares = Counter(map(split_of, people))
        assert min(shares["validation"], shares["test"]) >= least and shares["train"] > 0.8 * len(people)
