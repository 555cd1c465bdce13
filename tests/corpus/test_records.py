"""Records: what goes in comes out; shards are complete or absent."""

import dataclasses
import os

import msgpack
import numpy as np
import pytest

from fml_jax.corpus.records import Example, Stats, Truth, decode, encode, read_shard, write_shard
from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent


def make_record_example(seed=0, code=None):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    window = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
    return Example(
        name=f"Zoë/{seed}.jpg",
        source="lfw",
        person="Zoë",
        window=window,
        valid=rng.random((256, 256)) < 0.9,
        to_photo=rng.normal(4000, 1000, (2, 3)),
        crop=rng.normal(size=(2, 3)),
        landmarks68=rng.normal(100, 30, (68, 2)).astype(np.float32),
        confidence=rng.random(68).astype(np.float32),
        landmarks478=rng.normal(100, 30, (478, 3)).astype(np.float32),
        from_detector=True,
        stats=Stats(*range(6)),
        code=code,
    )


@pytest.mark.parametrize("code", [None, np.arange(257, dtype=np.float32)])
def test_an_example_survives_its_record(code):
    example = make_record_example(code=code)
    back = decode(encode(example))
    for field in dataclasses.fields(Example):
        if field.name != "window":
            np.testing.assert_array_equal(getattr(back, field.name), getattr(example, field.name), err_msg=field.name)
    assert np.abs(back.window.astype(int) - example.window).mean() < 1
    assert back.window.shape == example.window.shape and back.valid.dtype == bool


def test_a_truth_survives_its_record():
    """To half a step of 1/100 mm and of 1/10,000; what no face has is clipped, not wrapped round."""
    rng = np.random.default_rng(1)
    truth = Truth(rng.uniform(-150, 150, (500, 3)), rng.uniform(-0.2, 1.2, (500, 3)))
    truth.vertices[0] = [400, -400, 0]
    back = decode(encode(dataclasses.replace(make_record_example(), truth=truth))).truth
    np.testing.assert_allclose(back.vertices[1:], truth.vertices[1:], atol=0.00501)
    np.testing.assert_allclose(back.reflectance, truth.reflectance, atol=0.0000501)
    np.testing.assert_allclose(back.vertices[0], [327.67, -327.68, 0], atol=1e-3)
    assert back.vertices.dtype == back.reflectance.dtype == np.float32


def test_reference_landmarks_survive_their_record():
    reference = np.random.default_rng(2).normal(100, 30, (68, 2)).astype(np.float32)
    example = dataclasses.replace(make_record_example(), reference68=reference)
    np.testing.assert_array_equal(decode(encode(example)).reference68, reference)


def test_a_label_map_survives_its_record():
    labels = np.random.default_rng(3).choice([0, 1, 2], (120, 120)).astype(np.uint8)
    np.testing.assert_array_equal(
        decode(encode(dataclasses.replace(make_record_example(), labels=labels))).labels, labels
    )


def test_records_of_version_3_are_read_without_label_maps():
    fields = msgpack.unpackb(encode(make_record_example()))
    del fields["labels"]
    assert decode(msgpack.packb(fields | {"version": 3})).labels is None


def test_records_of_version_1_are_read():
    """They are those of version 2 without a truth."""
    example = make_record_example(code=np.arange(257, dtype=np.float32))
    fields = msgpack.unpackb(encode(example))
    old = {name: value for name, value in fields.items() if name not in ("truth", "labels")} | {"version": 1}
    back = decode(msgpack.packb(old))
    assert back.truth is None and back.name == example.name
    np.testing.assert_array_equal(back.code, example.code)


def test_records_are_the_same_each_time_and_small():
    first, second = encode(make_record_example()), encode(make_record_example())
    assert first == second and len(first) < 40_000


def test_what_is_no_record_is_refused():
    record = encode(make_record_example())
    fields = msgpack.unpackb(record)
    for broken in (b"", b"\x80", record[:1000], msgpack.packb([1]), msgpack.packb({**fields, "window": b"jpeg"})):
        with pytest.raises(InputError, match="not a record"):
            decode(broken)
    with pytest.raises(InputError, match="version 99"):
        decode(msgpack.packb({**fields, "version": 99}))


def test_shards_hold_their_records_in_order(tmp_path):
    records = [os.urandom(1000 * k) for k in range(1, 6)]
    write_shard(tmp_path / "a", records)
    write_shard(tmp_path / "b", records)
    assert read_shard(tmp_path / "a") == records
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_shard(tmp_path / "empty", [])
    assert read_shard(tmp_path / "empty") == []


def test_damaged_shards_are_told(tmp_path):
    write_shard(tmp_path / "a", [os.urandom(100_000) for _ in range(5)])
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:200_000])
    for name in ("a", "missing"):
        with pytest.raises(InputError, match="delete it"):
            read_shard(tmp_path / name)


def test_a_shard_is_complete_or_absent(tmp_path):
    def records():
        yield b"one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "a", records())
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told(tmp_path):
    with pytest.raises(InputError, match="No space left.*make room"), complete_or_absent(tmp_path / "a") as partial:
        partial.symlink_to("/dev/full")
        with partial.open("wb") as file:
            file.write(b"x" * 100_000)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_under_a_shard_is_told(tmp_path, monkeypatch):
    def enter_full(context):
        context._partial.symlink_to("/dev/full")
        return context._partial

    monkeypatch.setattr(complete_or_absent, "__enter__", enter_full)
    with pytest.raises(InputError, match="No space left.*make room"):
        write_shard(tmp_path / "a", [os.urandom(10_000)] * 100)
    assert not list(tmp_path.iterdir())


def test_errors_of_what_makes_records_are_not_taken_for_the_disks(tmp_path):
    def failing():
        yield b"record"
        raise RuntimeError("no record")

    with pytest.raises(RuntimeError, match="^no record$"):
        write_shard(tmp_path / "shard.arrayrecord", failing())
    assert not list(tmp_path.iterdir())
