"""The rooms of the package: imports point one way, from the launchers down to the array operations."""

import ast
import graphlib
import shutil
from pathlib import Path

import pytest

from tests.package_sources import PACKAGE, ROOT, module_files, parsed

# From the top down. A room may import the rooms after it.
ORDER = (
    "launchers",
    "configs",
    "training",
    "video",
    "export",
    "evaluation",
    "importers",
    "synthetic",
    "corpus",
    "reconstruction",
    "networks",
    "fitting",
    "losses",
    "image_formation",
    "face_model",
    "photos",
    "runners",
    "codes",
    "ops",
    "compilation_cache",
    "worker_processes",
    "safe_npz",
    "files",
    "opencv",
    "late_names",
    "pages",
    "errors",
)
# What a program that only reconstructs needs may not depend on what only a training needs.
WITHOUT_TRAINING = ("photos", "fitting", "networks", "reconstruction")
TRAINING = {"training", "corpus", "configs", "launchers"}

# Modules that are named by strings and imported when they are first used.
LATE_IMPORTS = {
    # The public names of packages, so that the launching process of a batch imports no JAX.
    "fml_jax": None,
    "fml_jax.export": None,
    "fml_jax.export.viewer": None,
    "fml_jax.reconstruction": None,
    # `Reconstruction.save` and `.viewer` write files, on call.
    "fml_jax.reconstruction.reconstruction": {"fml_jax.export.saving", "fml_jax.export.viewer"},
}


def imported_modules(files: dict[str, Path]) -> dict[str, set[str]]:
    """What each module imports, functions' imports and those for type checkers included.

    `from a import b` counts as an import of `a.b` if that is a module of the package.
    """
    found: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                found[name].update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: relative import"
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                found[name].update(each if each in files else node.module for each in whole)
    return found


def room(module: str) -> str:
    """The folder or single file below the package that a module belongs to; "" for the package itself."""
    return ".".join(module.split(".")[1:2])


def upward_imports(files: dict[str, Path]) -> list[str]:
    """Imports of a room above one's own; only launchers may import from `fml_jax` itself, which is above all rooms."""
    place = {name: k for k, name in enumerate(ORDER)}
    wrong = []
    for module, targets in imported_modules(files).items():
        inside = [target for target in targets if target.split(".")[0] == "fml_jax" and target in files]
        for target in inside if room(module) else []:
            upward = place[room(target)] < place[room(module)] if room(target) else room(module) != "launchers"
            wrong += [f"{module} → {target}"] * upward
    return wrong


def import_cycle(files: dict[str, Path]) -> list[str] | None:
    """Modules that import each other in a circle, if there are any."""
    graph = {name: targets & files.keys() for name, targets in imported_modules(files).items() if name != "fml_jax"}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


@pytest.fixture
def copied(tmp_path):
    """The modules of a copy of the package, to add imports to."""
    shutil.copytree(PACKAGE, tmp_path / "fml_jax", ignore=lambda folder, names: [n for n in names if _is_data(n)])
    return module_files(tmp_path / "fml_jax")


def test_every_room_has_its_place_in_the_order():
    assert {room(name) for name in module_files()} == {"", *ORDER}


def test_imports_point_down():
    assert not upward_imports(module_files())


def test_modules_import_each_other_without_cycles():
    assert import_cycle(module_files()) is None


@pytest.mark.parametrize("name", WITHOUT_TRAINING)
def test_rooms_for_reconstruction_import_nothing_of_training(name):
    imports, reached = imported_modules(module_files()), set()
    waiting = [module for module in imports if room(module) == name]
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting += [target for target in imports[module] if target in imports and target not in reached]
    assert not {module for module in reached if room(module) in TRAINING}


def test_the_package_imports_no_other_folder_of_the_repository():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"fml_jax"}
    tops = {target.split(".")[0] for targets in imported_modules(module_files()).values() for target in targets}
    assert "experiments" in folders and not tops & folders


def test_modules_named_by_strings_are_the_known_ones():
    files = module_files()
    for name, path in files.items():
        strings = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
        late = {text for text in strings if isinstance(text, str) and text.startswith("fml_jax.") and text in files}
        if LATE_IMPORTS.get(name, set()) is not None:
            assert late == LATE_IMPORTS.get(name, set()), name


def test_an_upward_import_is_found_within_a_function_too(copied):
    with copied["fml_jax.losses.regularisers"].open("a") as file:
        file.write("\n\ndef late():\n    from fml_jax.training import loop\n")
    assert upward_imports(copied) == ["fml_jax.losses.regularisers → fml_jax.training.loop"]


def test_an_import_of_the_packages_own_names_is_found(copied):
    with copied["fml_jax.photos.crops"].open("a") as file:
        file.write("\nfrom fml_jax import Reconstructor\n")
    assert upward_imports(copied) == ["fml_jax.photos.crops → fml_jax"]


def test_a_cycle_within_a_room_is_found(copied):
    with copied["fml_jax.losses.observation"].open("a") as file:
        file.write("\nfrom fml_jax.losses import energies\n")
    assert {"fml_jax.losses.observation", "fml_jax.losses.energies"} <= set(import_cycle(copied))


def _is_data(name: str) -> bool:
    return "." in name and not name.endswith(".py")
