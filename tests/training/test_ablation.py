"""Sets of runs: what they share, how they resume, and the table."""

import json
from dataclasses import replace
from unittest import mock

import jax
import pytest

from fml_jax.configs.ablations import REFERENCES, SIZES, get_config, variants_of
from fml_jax.errors import InputError
from fml_jax.face_model import load_face_model
from fml_jax.networks.multilevel import make_network
from fml_jax.training import ablation
from fml_jax.training.checkpoints import changes
from fml_jax.training.config import run_config
from fml_jax.training.metrics import read_metrics
from fml_jax.training.optimizers import group_labels
from fml_jax.training.outputs import WEIGHTS_FILE
from fml_jax.training.stages import NonFiniteLoss
from tests.training import stub

REFERENCE_CONFIG = stub.small_config(steps=(2, 2), levels=["base", "full"])
SET = {"with": REFERENCE_CONFIG, "fewer": replace(REFERENCE_CONFIG, reflectance_modes=2, sheet_every=2)}


def run_set(configs, output, trained):
    """`ablation.run_set` on stubs; `trained` collects the names of the runs that are trained."""

    def train(config, workdir):
        trained.append(workdir.name)
        return stub.run(config, workdir, stub.held_out_rows)

    with mock.patch.object(ablation, "train", train):
        return ablation.run_set(configs, REFERENCE_CONFIG, output)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp("set")
    trained = []
    run_set(SET, output, trained)
    return output, trained


def test_the_base_level_is_trained_once_for_those_that_share_it(finished):
    output, trained = finished
    assert trained == ["base", "with", "fewer"]
    rows = {name: read_metrics(output / name) for name in trained}
    steps = {name: [row["step"] for row in rows[name] if "loss" in row] for name in trained}
    assert steps == {"base": [1, 2], "with": [1, 2], "fewer": [1, 2, 3, 4]}
    told = json.loads((output / "with/config.json").read_text("utf-8"))
    assert told["stage_order"] == ["stage1"] and told["start_from"] == str(output / "base" / WEIGHTS_FILE)


def test_the_table_has_a_row_a_run_with_its_last_values_and_pictures(finished):
    output, _ = finished
    lines = (output / ablation.TABLE).read_text("utf-8").splitlines()
    assert lines[0].startswith("Each run: 2 steps of 8 crops (stage stage0), then 2 steps of 8 crops (stage stage1)")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    header, rows = cells[0], {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}
    assert list(rows) == list(SET) and "reflectance, final" in header
    last = [row for row in read_metrics(output / "with") if "validation" in row][-1]
    assert rows["with"]["E_photo, final"] == f"{last['photos/photo_final']:.4g}"
    assert rows["with"]["reflectance, base"] == f"{last['synthetic/reflectance_error_base']:.4g}"
    assert (
        rows["fewer"][""] == "[faces](fewer/sheets/step_000004.png)"
        and (output / "fewer/sheets/step_000004.png").is_file()
    )


def test_a_set_goes_on_where_it_was_stopped(finished, tmp_path):
    trained = []

    def stopped(config, workdir):
        trained.append(workdir.name)
        if len(trained) == 3:
            raise SystemExit(0)  # as a run does that SIGTERM reaches
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / WEIGHTS_FILE).write_bytes(b"")
        (workdir / "metrics.jsonl").write_text('{"step": 2, "validation": 1, "photos/photo_final": 0.25}\n')

    with mock.patch.object(ablation, "train", stopped), pytest.raises(SystemExit):
        ablation.run_set(SET, REFERENCE_CONFIG, tmp_path)
    table = (tmp_path / ablation.TABLE).read_text("utf-8")
    assert "| with | 1 | 0.25 |" in table and "fewer" not in table
    with mock.patch.object(ablation, "train", stopped):
        ablation.run_set(SET, REFERENCE_CONFIG, tmp_path)
    assert trained == ["base", "with", "fewer", "fewer"]


def test_a_finished_set_trains_nothing_and_another_config_is_refused(finished):
    output, _ = finished
    trained = []
    run_set(SET, output, trained)
    run_set({"with": SET["with"]}, output, trained)  # a part of it
    assert trained == []
    longer = replace(REFERENCE_CONFIG, log_every=7)
    said = "base: was trained with another config .log_every: 1 → 7.; choose another --output"
    with pytest.raises(InputError, match=said):
        ablation.run_set({"with": longer}, longer, output)
    run_set(SET, output, trained)  # the table of all again


def test_a_run_that_fails_has_a_row_that_says_so(tmp_path):
    def train(config, workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "metrics.jsonl").write_text('{"step": 2, "validation": 1, "photos/photo_final": 0.25}\n')
        if workdir.name == "with":
            raise NonFiniteLoss("step 9: not finite")
        (workdir / WEIGHTS_FILE).write_bytes(b"")

    with mock.patch.object(ablation, "train", train):
        text = ablation.run_set(SET, REFERENCE_CONFIG, tmp_path).read_text("utf-8")
    assert "| with | 0 | – |" in text and "| fewer | 1 | 0.25 |" in text and "with failed: step 9: not finite" in text


@pytest.mark.parametrize("size, name", [(size, name) for size in SIZES for name in variants_of(size)])
def test_variants_differ_from_the_reference_in_what_they_are_named_after(name, size):
    expected = {
        **{f"c{count}": {"correctives.geometry", "correctives.reflectance"} for count in (0, 100, 250, 500)},
        **{kind: {"correctives.kind"} for kind in ("relu1", "relu2")},
        **{f"no_{term}": {f"stages.full.full.{term}"} for term in ("smo", "sta", "ref", "glo")},
        "no_shape": {"stages.full.full.smo", "stages.full.full.sta"},
        "no_reflectance": {"stages.full.full.ref", "stages.full.full.glo"},
        "reflectance40": {"reflectance_modes", "data.photos"},
        "harmonics": {"correctives.modes"},
        "no_masks": {"masks"},
        "no_local": {"local_stages"},
        "no_known_skin": {"stages.full.skin.known"},
        "muon": {"stages.full.optimizer.name"},
        "adadelta": {f"stages.full.optimizer.{field}" for field in ("name", "schedule", "warmup", "clip")},
    }
    reference, variant = (get_config(f"{each},{size}").to_dict() for each in (REFERENCES[size], name))
    differ = {line.partition(":")[0] for line in changes(reference, variant)}
    if name == "harmonics":  # whose modes stay as they are
        rates = {field for field in differ if field.endswith(".learning_rate")}
        assert rates and all("geometry" in rate or "reflectance" in rate for rate in rates)
        differ -= rates
    if name == "adadelta":  # with the paper's groups
        differ = {field for field in differ if ".groups" not in field}
    expected[REFERENCES[size]] = set()
    assert differ - {"data.photos"} == expected[name] - {"data.photos"}


@pytest.fixture(scope="module")
def face_model():
    return load_face_model(detail="face")


@pytest.mark.parametrize("size, name", [(size, name) for size in ("small", "open") for name in variants_of(size)])
def test_each_parameter_of_a_variant_has_one_learning_rate(name, size, face_model):
    config = run_config(get_config(f"{name},{size}"))
    # The learning rates go by the parameters' names, so that few modes will do.
    few = {space: min(3, getattr(config.correctives, space)) for space in ("geometry", "reflectance")}
    correctives = replace(config.correctives, **few, modes="random", subspace="all")
    network = make_network(config.encoder, correctives, face_model, local_stages=config.local_stages)
    params = jax.eval_shape(network.init, jax.random.key(0))
    for stage in config.ordered_stages.values():
        groups = {group: each.prefix for group, each in stage.optimizer.groups.items()}
        labels = set(jax.tree.leaves(group_labels(params, groups)))
        assert labels <= set(groups)


@pytest.mark.parametrize("size, count", [("small", 500), ("paper", 500), ("open", 100)])
def test_references_have_the_size_they_are_named_after(size, count):
    correctives = get_config(f"{REFERENCES[size]},{size}").to_dict()["correctives"]
    assert correctives["kind"] == "linear" and correctives["geometry"] == correctives["reflectance"] == count


@pytest.mark.parametrize("name", ["no_masks", "reflectance40,open"])
def test_a_size_has_only_the_runs_that_differ_from_its_reference(name):
    with pytest.raises(InputError, match=f"ablation '{name}' is unknown"):
        get_config(name)


def test_synthetic_faces_stand_in_for_photos_wherever_they_lie():
    config = get_config("reflectance40")
    config.data.synthetic = "elsewhere"
    assert config.to_dict()["data"]["photos"] == "elsewhere"


@pytest.mark.parametrize("name", ["c7", "c500,huge"])
def test_unknown_names_are_told(name):
    with pytest.raises(InputError, match=f"ablation '{name}' is unknown; choose one of c500"):
        get_config(name)


def test_each_seed_shares_the_stages_of_its_own_base(tmp_path):
    trained = {}

    def train(config, workdir):
        trained[workdir.name] = config
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "metrics.jsonl").write_text('{"step": 2, "validation": 1, "photos/photo_final": 0.25}\n')
        (workdir / WEIGHTS_FILE).write_bytes(b"")

    with mock.patch.object(ablation, "train", train):
        text = ablation.run_set(ablation.with_seeds(dict(SET), 2), REFERENCE_CONFIG, tmp_path).read_text("utf-8")
    second = REFERENCE_CONFIG.seed + 1
    for name, base in (("with", "base"), (f"with_seed{second}", f"base_seed{second}")):
        assert trained[name].start_from == str(tmp_path / base / WEIGHTS_FILE)
        assert trained[name].seed == trained[base].seed and trained[name].stage_order == ("stage1",)
    assert "| with | 2 |" in text and "| base" not in text


def test_seeds_of_a_run_share_a_row_of_means(tmp_path):
    values = {"with": 0.25, "with_seed1": 0.27, "with_seed2": 0.29}

    def train(config, workdir):
        assert config.seed == int(workdir.name.partition("_seed")[2] or 0)
        workdir.mkdir(parents=True, exist_ok=True)
        row = {"step": 2, "validation": 1, "photos/photo_final": values.get(workdir.name, 1.0)}
        (workdir / "metrics.jsonl").write_text(f"{json.dumps(row)}\n")
        (workdir / WEIGHTS_FILE).write_bytes(b"")

    alone = replace(REFERENCE_CONFIG, seed=0)
    with mock.patch.object(ablation, "train", train):
        runs = ablation.with_seeds({"with": alone}, 3)
        text = ablation.run_set(runs, alone, tmp_path).read_text("utf-8")
    assert list(runs) == list(values)
    assert "| with | 3 | 0.27 ± 0.02 |" in text and text.count("| with") == 1
