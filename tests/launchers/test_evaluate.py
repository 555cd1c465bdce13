"""What the launcher says when there is nothing to measure."""

import cv2
import numpy as np
import pytest

from tests.launchers.launching import launch


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two people: one of the validation split, whose photo shows no face, and one of the other."""
    folder = tmp_path_factory.mktemp("people")
    for name in ("Validation_Person_35", "Other"):
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / "wall.png"), np.full((120, 120, 3), 90, np.uint8))
    return folder


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "nothing to measure on; give --photos, --scans or another flag of data; see --help"),
        (["--tables=photo"], "--tables: photo is unknown; choose from photos, geometry, "),
        (["--tables=photos"], "--photos is missing, which a table of --tables needs"),
        (["--tables=geometry"], "--tables=geometry: give --scans=FOLDER, --synthetic=CORPUS or both"),
        (["--scans={photos}/Other"], "Other: no file of .obj or .ply; give scans, or folders that hold them"),
        (["--now={photos}"], "iphone_pictures/ is missing; give the folder of NoW"),
        (["--realy={photos}"], "REALY_image/ is missing; give the folder with REALY's three folders"),
        (["--aflw2000={photos}"], "no .mat file; give the folder with image00002.jpg and image00002.mat"),
        (["--facewarehouse={photos}"], "no Tester_1/TrainingPose/pose_0.obj; give the folder of Tester_1"),
        (["--photos={photos}/Other"], "Other: no folder's name falls into the validation split"),
        (["--photos={photos}"], "MediaPipe finds no face in 1 photos of the validation split"),
        (["--photos={photos}", "--output={photos}/Other/wall.png"], "wall.png: not a folder that can be written"),
    ],
)
def test_one_line_says_what_is_wrong(photos, tmp_path, arguments, said):
    arguments = [f"--output={tmp_path}", *(argument.format(photos=photos) for argument in arguments)]
    result = launch("evaluate", *arguments)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert said in result.stderr.splitlines()[-1]
