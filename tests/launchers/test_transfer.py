"""fml-transfer: its files and its complaints."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from fml_jax import lamp
from fml_jax.export import read_code_file
from tests.launchers.launching import launch

ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"


def test_light_and_expression_change_the_files_and_the_picture(tmp_path):
    process = launch(
        "transfer",
        f"--input={ASTRONAUT}",
        "--light=-1,1,1",
        "--expression=jawOpen:1",
        f"--output={tmp_path}",
        "--formats=npz",
    )
    assert process.returncode == 0 and "astronaut_0_transfer.png" in process.stdout
    fields = read_code_file(tmp_path / "astronaut_0.npz")
    light, expected = fields["illumination"], lamp((-1, 1, 1))
    np.testing.assert_allclose(light / light[0], expected / expected[0], atol=1e-5)
    picture = cv2.imread(str(tmp_path / "astronaut_0_transfer.png")).astype(float)
    assert picture.shape == (480, 3 * 480, 3)
    assert np.abs(picture[:, 480:960] - picture[:, 960:]).mean() > 3


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "nothing to change; give --light or --expression"),
        (["--expression=smile:1"], "shape 'smile' is unknown"),
        (["--light=0,0,0"], "is none; give three numbers"),
        (["--light=no.jpg"], "no.jpg"),
    ],
)
def test_wishes_that_cannot_be_met_are_one_line(tmp_path, arguments, said):
    process = launch("transfer", f"--input={ASTRONAUT}", f"--output={tmp_path}", *arguments)
    assert process.returncode == 1 and said in process.stderr and "Traceback" not in process.stderr
    assert not list(tmp_path.iterdir())
