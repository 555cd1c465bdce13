"""The documentation: the API reference builds, and what the documents name exists."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for path in sorted(
        [
            *ROOT.glob("*.md"),
            *(path for folder in ("docs", "fml_jax", "third_party") for path in (ROOT / folder).rglob("*.md")),
        ]
    )
    if path.name != "CHANGELOG.md"
]
# A dotted name that begins with one of these names a module of the package, or what is in it.
ROOMS = {"fml_jax", *(path.stem for path in (ROOT / "fml_jax").iterdir())}
PRODUCTS = {"fml-open-face"}  # begin like commands
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def test_api_reference_has_a_page_for_each_module(tmp_path):
    spec = importlib.util.spec_from_file_location("api", ROOT / "docs" / "api.py")
    api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(api)
    assert "Reconstructor" in api.build(tmp_path).read_text()
    modules = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "fml_jax").rglob("*.py")]
    pages = {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.html")}
    assert {path.parent if path.name == "__init__" else path for path in modules} <= pages


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document):
    targets = [target for target in LINK.findall(document.read_text()) if "://" not in target]
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_files_exist(document):
    named = set(re.findall(r"`([\w./]+/\w+\.py)`", document.read_text()))
    roots = [ROOT, ROOT / "fml_jax", document.parent]
    assert not [name for name in named if not any((root / name).exists() for root in roots)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_dotted_names_in_code_type_exist(document):
    named = set(re.findall(r"`((?:\w+\.)+\w+)(?:\(.*?\))?`", document.read_text()))
    names = [name for name in named if name.partition(".")[0] in ROOMS and not name.endswith((".json", ".npz", ".py"))]
    assert not [name for name in names if not _is_defined(name)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(document):
    text = document.read_text()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(re.findall(r"\bfml-[a-z]+(?:-[a-z]+)*\b", text)) <= scripts.keys() | PRODUCTS
    modules = set(re.findall(r"python -m ((?:experiments|benchmarks|third_party)[.\w]*)", text))
    assert not [
        name
        for name in modules - {"experiments.NAME"}
        if not (ROOT / name.replace(".", "/")).with_suffix(".py").exists()
    ]


def test_every_equation_of_the_paper_has_its_row():
    rows = re.findall(r"^\| (\d+)(?:–(\d+))?:", (ROOT / "docs" / "paper_to_code.md").read_text(), re.MULTILINE)
    numbers = {number for first, last in rows for number in range(int(first), int(last or first) + 1)}
    assert numbers >= set(range(1, 16))


def _is_defined(name: str) -> bool:
    """Whether `room.module`, `room.module.function` or `room.module.Class.field` is in the sources."""
    parts = name.removeprefix("fml_jax.").split(".")
    for k in range(len(parts), -1, -1):
        path = (ROOT / "fml_jax").joinpath(*parts[:k])
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if source.is_file():
            words = set(re.findall(r"\w+", source.read_text()))
            return words.issuperset(parts[k:])
    return False
