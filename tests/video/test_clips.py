"""Clips are read and written with their sound, and damaged ones are answered in one line."""

from fractions import Fraction

import av
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.video.clips import Clip, ClipWriter, Frame

RATE = Fraction(25)


def pictures(count):
    """Frames whose grey level tells their number."""
    return [Frame(k, k / RATE, np.full((48, 64, 3), 4 * k, np.uint8)) for k in range(count)]


def write_sound(path, codec):
    """A clip of 40 dark frames with a tone."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream(codec, rate=48000)
        for _ in range(40):
            file.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        file.mux(video.encode(None))
        tone = (8000 * np.sin(np.arange(48000 * 8 // 5) / 20)).astype(np.int16)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            file.mux(sound.encode(frame))
        file.mux(sound.encode(None))


@pytest.fixture
def silent(tmp_path):
    with ClipWriter(tmp_path / "silent.mp4", RATE) as writer:
        for frame in pictures(40):
            writer.write(frame)
    return tmp_path / "silent.mp4"


def test_what_is_written_is_read_in_order_and_time(silent):
    clip = Clip(silent)
    frames = list(clip.frames())
    assert clip.rate == RATE and not clip.has_sound and clip.expected == len(frames) == 40
    np.testing.assert_allclose([frame.rgb.mean() for frame in frames], 4 * np.arange(40), atol=6)
    assert [frame.time for frame in frames] == [k / RATE for k in range(40)]
    assert clip.damaged_after is None


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le")])
def test_sound_is_taken_over_at_its_time(tmp_path, name, codec):
    write_sound(tmp_path / name, codec)
    clip = Clip(tmp_path / name)
    assert clip.has_sound
    with ClipWriter(tmp_path / "out.mp4", clip.rate, clip) as writer:
        for frame in clip.frames():
            writer.write(frame)
    with av.open(str(tmp_path / "out.mp4")) as file:
        sound = np.concatenate([frame.to_ndarray().astype(float)[0] for frame in file.decode(audio=0)])
        length = len(sound) / file.streams.audio[0].sample_rate
    assert abs(length - 1.6) < 0.1
    assert np.abs(sound[4800:-4800]).mean() > 0.1 * np.abs(sound).max()
    assert len(list(Clip(tmp_path / "out.mp4").frames())) == 40


def test_an_odd_size_loses_a_line(tmp_path):
    with ClipWriter(tmp_path / "odd.mp4", RATE) as writer:
        writer.write(Frame(0, Fraction(0), np.zeros((49, 65, 3), np.uint8)))
    assert next(Clip(tmp_path / "odd.mp4").frames()).rgb.shape == (48, 64, 3)


def test_a_clip_that_is_cut_short_gives_what_is_before_the_cut(silent):
    """MPEG-TS has no index at its end, which MP4 cannot be read without."""
    with av.open(str(silent)) as source, av.open(str(silent.with_suffix(".ts")), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = silent.with_suffix(".ts").read_bytes()
    silent.with_suffix(".ts").write_bytes(content[: len(content) // 2])
    assert 0 < len(list(Clip(silent.with_suffix(".ts")).frames())) < 40
    silent.write_bytes(silent.read_bytes()[:600])
    with pytest.raises(InputError, match="silent.mp4: cannot be read as a video"):
        Clip(silent)


def test_other_files_are_one_line(tmp_path):
    (tmp_path / "text.mp4").write_text("no video " * 100)
    with pytest.raises(InputError, match="text.mp4: cannot be read as a video"):
        Clip(tmp_path / "text.mp4")
    with pytest.raises(InputError, match="none.mp4: no such file"):
        Clip(tmp_path / "none.mp4")
