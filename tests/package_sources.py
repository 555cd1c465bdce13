"""The package's sources as syntax trees: which modules import which, and which definitions are public."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fml_jax"

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Public:
    """A public function, class or method, with its dotted name."""

    name: str
    node: Definition
    in_class: bool

    @property
    def is_function(self) -> bool:
        return isinstance(self.node, ast.FunctionDef)

    @property
    def positional(self) -> list[str]:
        """The arguments that may be given by position, without `self`."""
        names = [argument.arg for argument in self._arguments.posonlyargs + self._arguments.args]
        return names[self._bound :]

    @property
    def not_annotated(self) -> list[str]:
        """The arguments, and "return", that have no annotation."""
        arguments = (self._arguments.posonlyargs + self._arguments.args)[self._bound :] + self._arguments.kwonlyargs
        bare = [argument.arg for argument in arguments if argument.annotation is None]
        return bare + ["return"] * (self.node.returns is None)

    @property
    def _arguments(self) -> ast.arguments:
        return self.node.args

    @property
    def _bound(self) -> bool:
        decorators = {getattr(decorator, "id", "") for decorator in self.node.decorator_list}
        return self.in_class and "staticmethod" not in decorators


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), path)


def module_files(package: Path = PACKAGE) -> dict[str, Path]:
    """The package's modules by dotted name; a folder's `__init__.py` has the folder's name."""
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def public_definitions() -> Iterator[Public]:
    """Functions, classes and methods without a leading underscore, `__init__` and `__call__`."""
    for module, path in module_files().items():
        yield from _public(parsed(path).body, module, in_class=False)


def _public(body, prefix, in_class):
    for node in body:
        if isinstance(node, Definition) and (not node.name.startswith("_") or node.name in ("__init__", "__call__")):
            name = f"{prefix}.{node.name}"
            yield Public(name, node, in_class)
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, name, in_class=True)
