"""What mesh files hold, whatever program wrote them."""

import numpy as np
import pytest

from fml_jax.importers.mesh_files import read_mesh


@pytest.mark.parametrize("whole", [1, 255])
def test_colours_of_obj_files_are_in_the_unit_range(tmp_path, whole):
    colours = np.array([[1, 0.5, 0], [0, 0, 0], [0.2, 0.2, 0.2]])
    rows = [f"v {k} {k * k} 0 {' '.join(map(str, whole * colour))}" for k, colour in enumerate(colours)]
    (tmp_path / "a.obj").write_text("\n".join([*rows, "f 1 2 3"]))
    np.testing.assert_allclose(read_mesh(tmp_path / "a.obj").colours, colours)


def test_quads_and_numbers_from_the_end_are_read(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4//1 -3//1 -2//1 -1//1\n")
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.obj").triangles, [[0, 1, 2], [0, 2, 3]])
