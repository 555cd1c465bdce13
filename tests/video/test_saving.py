"""The files of a clip: read back, validated, and complete when Ctrl-C ends the drawing."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.codes import unflatten_code
from fml_jax.errors import InputError
from fml_jax.face_model.base import geometry
from fml_jax.image_formation.camera import FOCAL_IN_CROP_WIDTHS, project, to_camera
from fml_jax.safe_npz import read_npz
from fml_jax.synthetic.clips import RATE, render_clip
from fml_jax.video import saving
from fml_jax.video.clips import ClipWriter, Frame
from fml_jax.video.reconstructing import reconstruct_clip
from fml_jax.video.saving import save_clip
from tests.export.test_glb import Glb

FRAMES = 12
_NODE = Path(__file__).parents[1] / "node"


@pytest.fixture(scope="module")
def found(reconstructor, tmp_path_factory):
    file = tmp_path_factory.mktemp("clip") / "talk.mp4"
    with ClipWriter(file, RATE) as writer:
        for k, rgb in enumerate(render_clip(reconstructor.model, np.random.default_rng(2), FRAMES).frames):
            writer.write(Frame(k, k / RATE, rgb))
    return reconstruct_clip(reconstructor, file)


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory):
    target = tmp_path_factory.mktemp("saved")
    save_clip(found, target)
    return target


def test_a_person_has_three_files_and_the_clip_an_overlay(folder):
    names = {"talk_0.npz", "talk_0_arkit.csv", "talk_0.glb", "talk_overlay.mp4"}
    assert {path.name for path in folder.iterdir()} == names


def test_formats_are_chosen(found, tmp_path):
    assert [path.name for path in save_clip(found, tmp_path, ["csv"])] == ["talk_0_arkit.csv"]
    with pytest.raises(InputError, match="'obj' is none of clips; choose from npz, csv, glb, overlay"):
        save_clip(found, tmp_path, ["obj"])


def test_the_numbers_are_those_of_the_frames(found, folder):
    saved = read_npz(folder / "talk_0.npz", "clip's npz file")
    person = found.people[0]
    code = unflatten_code(saved["codes"], person.code.sizes)
    np.testing.assert_array_equal(code.expression, person.code.expression)
    np.testing.assert_array_equal(saved["landmarks68"], person.landmarks68)
    assert saved["arkit_weights"].shape == (FRAMES, 51) and saved["times"][-1] == pytest.approx((FRAMES - 1) / 25)


def test_the_csv_has_a_line_a_frame_with_arkits_names(folder):
    with open(folder / "talk_0_arkit.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES and {"frame", "seconds", "jawOpen", "eyeBlinkLeft", "headYaw"} <= set(rows[0])
    jaw = np.array([float(row["jawOpen"]) for row in rows])
    assert jaw[0] < 0.2 and jaw.max() > 0.3  # the mouth opens within these frames


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node and npm")
def test_khronos_validator_has_no_complaint(folder):
    command = ["node", str(_NODE / "validate_gltf.js"), str(folder / "talk_0.glb")]
    issues = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert issues["messages"] == []


def test_the_animated_head_is_where_the_clip_has_it(found, folder):
    """The skin's vertices of frame 7, moved as an animation player would, against the code's."""
    glb, person, k = Glb(folder / "talk_0.glb"), found.people[0], 7
    animation = glb.tree["animations"][0]
    tracks = {
        channel["target"]["path"]: glb.array(animation["samplers"][channel["sampler"]]["output"])
        for channel in animation["channels"]
    }
    names = glb.mesh["extras"]["targetNames"]
    weights = tracks["weights"].reshape(FRAMES, len(names))[k]
    skin = glb.positions("skin", **dict(zip(names, weights.astype(float), strict=True)))
    placed = Rotation.from_quat(tracks["rotation"][k]).apply(skin) + 1000 * tracks["translation"][k]
    seen = np.asarray(project(placed * [1, -1, -1]))

    code = unflatten_code(np.asarray(read_npz(folder / "talk_0.npz", "npz")["codes"][k]), person.code.sizes)
    vertices = geometry(person.model, code.identity, code.expression)
    expected = np.asarray(project(to_camera(vertices, code.rotation, code.translation)))
    some = expected[np.flatnonzero(person.model.regions["face"])[::200]]
    off = np.array([np.linalg.norm(seen - place, axis=1).min() for place in some])
    # What is left of the expression beyond six directions, and displacements under 0.1 mm, are not in the file.
    assert off.mean() < 0.5 and off.max() < 5
    lens = glb.tree["cameras"][0]["perspective"]
    assert np.tan(lens["yfov"] / 2) == pytest.approx(0.5 / FOCAL_IN_CROP_WIDTHS)


def test_the_overlay_has_all_frames_and_changes_the_face_alone(found, folder):
    frames = [list(clip) for clip in (found.clip.frames(), type(found.clip)(folder / "talk_overlay.mp4").frames())]
    assert len(frames[1]) == FRAMES
    changed = np.abs(frames[0][5].rgb.astype(float) - frames[1][5].rgb).mean(axis=2)
    x, y = np.rint(found.people[0].landmarks68[5, 30]).astype(int)
    assert changed[y - 20 : y + 20, x - 20 : x + 20].mean() > 2 * changed[:20].mean()


def test_ctrl_c_leaves_an_overlay_of_the_frames_that_are_drawn(found, tmp_path, monkeypatch):
    class Stopped(saving.Overlay):
        def draw(self, number, rgb):
            if number == 5:
                raise KeyboardInterrupt
            return super().draw(number, rgb)

    monkeypatch.setattr(saving, "Overlay", Stopped)
    save_clip(found, tmp_path, ["overlay"])
    with av.open(str(tmp_path / "talk_overlay.mp4")) as file:
        assert len(list(file.decode(video=0))) == 5
