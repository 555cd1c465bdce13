"""The command's report and page, the imported model's use by other commands, and how weights and models are matched."""

import importlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import experiments
import fml_jax
from fml_jax.codes import neutral_code
from fml_jax.errors import InputError
from fml_jax.face_model import geometry, landmarks478, load_arkit_shapes, load_face_model
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.parts import drawn_parts, parts_of, parts_vertices
from fml_jax.importers.mouth_parts import ends_at_lips
from fml_jax.importers.page import import_pictures
from fml_jax.importers.sources import import_face_model
from fml_jax.synthetic.expressions import expression_units
from tests.importers import layouts
from tests.launchers.launching import launch


def test_the_command_reports_and_draws_what_it_imported(imported):
    assert imported.result.returncode == 0, imported.result.stderr
    said = imported.result.stdout
    for words in ("6 modes of identity, all", "landmarks and the sliding contour are carried", "masks are carried"):
        assert words in said
    page = imported.model.with_suffix(".html").read_text()
    assert page.count("data:image/png;base64,") == 7 and "masks are carried over" in page


def test_the_pictures_show_the_masks_and_modes(imported):
    pictures = import_pictures(load_face_model(imported.model))
    masks = next(picture for title, picture in pictures.items() if title.startswith("Masks"))
    reddish = (masks[..., 0].astype(int) - masks[..., 2] > 80).mean()
    assert 0.02 < reddish < 0.5
    for title, picture in pictures.items():
        assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 100, title


def test_imported_details_are_the_whole_mesh_and_the_face(imported):
    standard, fine, face = (load_face_model(imported.model, detail) for detail in ("standard", "fine", "face"))
    assert standard.vertex_count == fine.vertex_count > face.vertex_count > 3000
    assert standard.has_one_mesh and not load_face_model().has_one_mesh
    marks = [np.asarray(landmarks478(model.landmarks, model.mean)) for model in (standard, face)]
    np.testing.assert_allclose(*marks, atol=1e-4)


def test_texture_coordinates_that_vertices_share_are_there_once_for_each(imported, tmp_path):
    path = tmp_path / "shared.h5"
    path.write_bytes(imported.original.read_bytes())
    with h5py.File(path, "a") as file:
        cells = file["shape/representer/cells"][()]
        file["metadata/uv"] = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
        file["metadata/uv_cells"] = np.tile(np.arange(3)[:, None], cells.shape[1])
    import_face_model("bfm2017", path, tmp_path / "shared.npz")
    model = load_face_model(tmp_path / "shared.npz")
    pairs = np.stack([np.asarray(each).ravel() for each in (model.uv_triangles, model.topology.triangles)], axis=1)
    assert len(np.unique(pairs, axis=0)) == len(np.unique(pairs[:, 0])) == len(model.uv)
    np.testing.assert_array_equal(np.asarray(model.uv)[np.asarray(model.uv_triangles)[0]], [[0, 0], [1, 0], [0, 1]])


def test_the_mouth_of_an_import_has_the_open_models_teeth_and_lining(imported):
    model, open_model = load_face_model(imported.model), load_face_model()
    assert "ends at the lips" in imported.result.stdout
    rng = np.random.default_rng(0)
    small = neutral_code(model.code_sizes).replace(
        identity=rng.normal(size=6).astype(np.float32), expression=rng.normal(size=5).astype(np.float32)
    )
    large = neutral_code(open_model.code_sizes).replace(
        identity=np.pad(small.identity, (0, 74)), expression=np.pad(small.expression, (0, 59))
    )
    own, carried = parts_vertices(parts_of(open_model), large), parts_vertices(parts_of(model), small)
    still = np.asarray(parts_of(open_model).mean)
    assert np.linalg.norm(carried - own, axis=1).mean() < 0.2 * np.linalg.norm(own - still, axis=1).mean()
    assert drawn_parts(model).keys() == drawn_parts(open_model).keys()


def test_a_mesh_without_a_hole_at_the_lips_has_no_teeth():
    model = load_face_model()
    triangles, mouth = np.asarray(model.topology.triangles), np.asarray(model.regions["lips"] | model.regions["mouth"])
    assert ends_at_lips(triangles, mouth)
    sides = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    caps = sides[_unpaired(sides) & mouth[sides].all(1)]
    closed = np.concatenate([triangles, np.column_stack([caps[:, ::-1], np.full(len(caps), model.vertex_count)])])
    assert not ends_at_lips(closed, np.append(mouth, False))


def _unpaired(sides):
    """The directed sides that no other triangle has in the other direction."""
    place = {tuple(side) for side in sides.tolist()}
    return np.array([(b, a) not in place for a, b in sides.tolist()])


def test_named_shapes_are_those_of_the_imported_file(imported):
    model = load_face_model(imported.model)
    shapes = named_shapes(model)
    assert len(shapes.names) == 51 and shapes.codes.shape == (51, 5)
    assert expression_units(model).codes.shape == (51, 5)
    assert load_arkit_shapes(imported.model)["jawOpen"].shape == (model.vertex_count, 3)


def test_the_packages_weights_are_refused_for_another_model(imported):
    with pytest.raises(InputError, match=r"made for the face model fml-open-face-2-\w+, not model2019_bfm-\w+; give"):
        fml_jax.Reconstructor(face_model=imported.model)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("reconstruct", ("--input=PHOTO", "--output=OUT")),
        ("evaluate", ("--photos=PHOTO", "--output=OUT")),
        ("transfer", ("--input=PHOTO", "--output=OUT", "--light=1,0,0")),
        ("demo", ("--photo=PHOTO", "--output=OUT")),
        ("evaluate_detection", ("--photos=PHOTO", "--output=OUT", "--sets=masked")),
        ("fit_score", ("--photos=PHOTO", "--frames=PHOTO", "--output=OUT")),
    ],
)
def test_commands_name_both_models_in_one_line(imported, tmp_path, name, arguments):
    given = [each.replace("OUT", str(tmp_path / "out")).replace("PHOTO", str(tmp_path / "a.png")) for each in arguments]
    _write_photo(tmp_path / "a.png")
    result = launch(name, *given, f"--face_model={imported.model}")
    assert result.returncode == 1
    line = result.stderr.strip().splitlines()[-1]
    assert "fml-open-face-2" in line and "model2019_bfm" in line and "--weights" in line


@pytest.mark.parametrize("script", [path.stem for path in sorted(Path(experiments.__path__[0]).glob("[!_]*.py"))])
def test_every_command_that_works_with_a_face_model_takes_one(script):
    without = {"import_face_model", "pack", "report"}  # makes one; copies crops; draws the pages of a run
    takes_one = "--face_model:" in launch(script, "--help").stdout
    assert takes_one == (script not in without)


def test_ablations_are_trained_on_the_face_model_that_is_given(imported, tmp_path):
    ablate = importlib.import_module("fml_jax.launchers.ablate")
    flag_values = ablate._FLAGS
    flag_values(["", f"--face_model={imported.model}", f"--output={tmp_path}"])
    assert ablate.configured("c100").model == str(imported.model)


def _write_photo(path):
    import cv2
    from skimage import data

    cv2.imwrite(str(path), data.astronaut()[:240, 100:340, ::-1])


def test_renders_of_an_imported_model_say_so_and_train_no_other(imported, tmp_path):
    corpus = tmp_path / "corpus"
    result = launch(
        "prepare",
        "--layout=synthetic",
        "--count=6",
        "--workers=1",
        f"--face_model={imported.model}",
        f"--output={corpus}",
    )
    assert result.returncode == 0, result.stderr
    name = load_face_model(imported.model).name
    assert json.loads((corpus / "corpus.json").read_text())["settings"]["model"] == name
    refused = launch("train", "--config=quick", f"--config.data.synthetic={corpus}", f"--workdir={tmp_path / 'run'}")
    assert refused.returncode == 1 and f"rendered from the face model {name}, not fml-open-face-2" in refused.stderr


def test_photos_take_no_face_model(imported, tmp_path):
    result = launch("prepare", f"--input={tmp_path}", f"--output={tmp_path}", f"--face_model={imported.model}")
    assert result.returncode == 1 and "--face_model" in result.stderr.strip().splitlines()[-1]


def test_an_exported_import_is_the_same_model(imported, tmp_path):
    result = launch("export", f"--face_model={imported.model}", f"--output={tmp_path / 'again.h5'}")
    assert result.returncode == 0, result.stderr
    import_face_model("bfm2017", tmp_path / "again.h5", tmp_path / "again.npz")
    once, twice = load_face_model(imported.model), load_face_model(tmp_path / "again.npz")
    code = np.random.default_rng(0).normal(size=6).astype(np.float32)
    rest = np.zeros(5, np.float32)
    wanted = np.asarray(geometry(once, code, rest))
    # Export turns modes to principal axes: the same face has other numbers.
    columns = np.asarray(twice.identity, np.float64).reshape(6, -1).T
    found, *_ = np.linalg.lstsq(columns, (wanted - np.asarray(twice.mean)).ravel(), rcond=None)
    np.testing.assert_allclose(geometry(twice, found.astype(np.float32), rest), wanted, atol=1e-3)


def test_an_export_is_of_one_model(imported, tmp_path):
    model = imported.model
    result = launch("export", f"--face_model={model}", f"--model={model}", f"--output={tmp_path / 'again.h5'}")
    assert result.returncode == 1 and "give one of them" in result.stderr


def test_the_output_of_the_command_is_an_npz_file(imported, tmp_path):
    result = launch("import_face_model", "--source=bfm2017", f"--path={imported.original}", f"--output={tmp_path}/a.h5")
    assert result.returncode == 1 and "let the name end in .npz" in result.stderr


def test_a_model_in_another_unit_is_refused_with_the_remedy(tmp_path):
    people = layouts.open_population(2, 2, 2)
    small = people._replace(mean=people.mean / 1000)
    path = layouts.write_bfm2017(tmp_path / "metres.h5", small)
    with pytest.raises(InputError, match="metres: .*times its size; check the source's unit"):
        import_face_model("bfm2017", path, tmp_path / "metres.npz")
    assert not (tmp_path / "metres.npz").exists()
