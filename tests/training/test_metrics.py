"""Metrics as JSON lines and as TensorBoard's files, which are read here without TensorBoard."""

import json
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from fml_jax.training.metrics import MetricsWriter, read_metrics


def events(workdir):
    """The events of all files, oldest file first; a record is a length, its checksum, bytes, and their checksum."""
    found = []
    for path in sorted((workdir / "tensorboard").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[12 + size + 4 :]
    return found


def scalars(found):
    return {(value.tag, event.step): value.simple_value for event in found for value in event.summary.value}


@pytest.fixture
def write(tmp_path):
    def write(rows, **options):
        writer = MetricsWriter(tmp_path, **options)
        for step, values in rows:
            writer.write(step, values)
        writer.close()

    return write


def test_both_tell_the_same(write, tmp_path):
    rows = [
        (20, {"loss": 3.0, "photos/photo": 0.5, "seconds": 1700000000.5}),
        (20, {"validation": 1.0, "photos/landmark_error": 0.25}),
    ]
    write(rows)
    assert read_metrics(tmp_path) == [{"step": step, **values} for step, values in rows]
    found = events(tmp_path)
    assert scalars(found) == {
        ("loss", 20): 3,
        ("photos/photo", 20): 0.5,
        ("validation/photos/landmark_error", 20): 0.25,
    }
    assert {event.wall_time for event in found for value in event.summary.value if value.tag == "loss"} == {
        1700000000.5
    }


def test_steps_done_again_are_marked_as_such(write, tmp_path):
    write([(1, {"loss": 5}), (2, {"loss": 4})])
    write([(2, {"loss": 3})], done=1)
    found = events(tmp_path)
    assert [event.step for event in found if event.session_log.status == SessionLog.START] == [2]
    assert [value.simple_value for event in found for value in event.summary.value] == [5, 4, 3]
    assert [row["loss"] for row in read_metrics(tmp_path)] == [5, 3]


def test_rows_after_the_step_of_the_checkpoint_are_removed(write, tmp_path):
    write([(1, {"loss": 5}), (2, {"loss": 4}), (2, {"validation": 1}), (3, {"loss": 3})], tensorboard=False)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 4, "l\xc3')
    write([(3, {"loss": 2})], tensorboard=False, done=2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line.get("loss")) for line in lines] == [(1, 5), (2, 4), (2, None), (3, 2)]


def test_rows_of_a_run_without_a_checkpoint_are_kept_under_another_name(write, tmp_path, caplog):
    for loss in (5, 4):
        with caplog.at_level("WARNING", logger="absl"):
            write([(1, {"loss": loss})], tensorboard=False)
    write([], tensorboard=False)
    write([(1, {"loss": 3})], tensorboard=False)  # after an empty file, which is not kept
    kept = {path.name: json.loads(path.read_text())["loss"] for path in tmp_path.iterdir()}
    assert kept == {"metrics.jsonl": 3, "metrics.1.jsonl": 5, "metrics.2.jsonl": 4}
    assert "metrics.jsonl is of a run without a checkpoint; it is kept as metrics.1.jsonl" in caplog.text


def test_tensorboard_can_be_left_out(write, tmp_path):
    write([(1, {"loss": 5})], tensorboard=False)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = MetricsWriter(None)
    writer.write(1, {"loss": 5})
    writer.close()
    assert not list(tmp_path.iterdir())
