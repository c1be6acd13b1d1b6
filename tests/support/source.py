"""The packages as source text: which file imports which, and what it names. Nothing is imported to find out."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREES = {"lam_export": ROOT, "lam_plugins": ROOT / "plugins", "lam_engines": ROOT / "engines"}
"""Package to the folder that it lies in."""


@dataclass(frozen=True)
class Import:
    """One name of an import statement, wherever it stands: in a function, or for a type checker alone."""

    module: str
    """Full name of the module: ``a.b`` of ``from a.b import c``."""
    name: str | None
    """``c`` of ``from a.b import c``; None for ``import a.b``."""
    bound: str
    """The name that it has in the file."""
    line: int

    @property
    def full(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


@dataclass(frozen=True)
class File:
    """A file of the packages."""

    path: Path

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def module(self) -> str:
        """``a.b.c`` of ``a/b/c.py``, ``a.b`` of ``a/b/__init__.py``."""
        root = next(root for name, root in TREES.items() if self.path.is_relative_to(root / name))
        parts = self.path.relative_to(root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def package(self) -> str:
        """Of the folder that the file lies in."""
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.split(".")[0]
                    found.append(Import(alias.name, None, bound, node.lineno))
            elif isinstance(node, ast.ImportFrom):
                pieces = self.package.split(".")
                base = pieces[: len(pieces) - node.level + 1] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                found += [Import(module, alias.name, alias.asname or alias.name, node.lineno) for alias in node.names]
        return tuple(found)

    def strings(self) -> Iterator[tuple[int, str]]:
        """Line and value of every whole string that is not a docstring; pieces of f-strings are left out."""
        inside = {id(part) for node in ast.walk(self.tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        said = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside | said:
                yield node.lineno, node.value


FILES = [File(path) for name, root in TREES.items() for path in sorted((root / name).rglob("*.py"))]
MODULES = {file.module: file for file in FILES}


def module_of(imported: Import) -> str | None:
    """The module of the packages that an import runs or asks for a name; None: of another package."""
    if imported.full in MODULES:
        return imported.full
    return imported.module if imported.module in MODULES else None


def circle() -> list[str]:
    """Modules that import each other, one after the other and the first once more; empty if there are none."""
    edges = {
        file.module: {module for found in file.imports if (module := module_of(found)) not in (None, file.module)}
        for file in FILES
    }
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def private_names(file: File) -> Iterator[str]:
    """``module._name`` for every private name of another file that this one uses, in whatever way it came by it."""
    modules: dict[str, str] = {}
    for found in file.imports:
        if (module := module_of(found)) is None:
            continue
        if module != found.full and _private(found.name or ""):
            yield found.full
        if module == found.full and _private(module.rpartition(".")[2]) and not _beside(file, module):
            yield module
        if module == found.full:
            modules[found.bound if found.name or found.bound != found.module.split(".")[0] else found.module] = module
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute) and _private(node.attr) and (owner := modules.get(ast.unparse(node.value))):
            yield f"{owner}.{node.attr}"


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _beside(file: File, module: str) -> bool:
    """A file whose name begins with _ is its folder's own, and the folder's files may use it."""
    return file.package == module.rpartition(".")[0]


def compared(file: File) -> Iterator[tuple[int, str]]:
    """Line and value of every string or name that is compared: ``==``, ``in``, ``match``, or looked up in a literal."""
    for node in ast.walk(file.tree):
        sides: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            sides = [key for key in node.value.keys if key is not None]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            sides = list(node.args)
        while sides:
            side = sides.pop()
            if isinstance(side, (ast.Tuple, ast.List, ast.Set)):
                sides += side.elts
            elif isinstance(side, ast.Dict):
                sides += [key for key in side.keys if key is not None]
            elif isinstance(side, ast.Constant) and isinstance(side.value, str):
                yield side.lineno, side.value
            elif isinstance(side, (ast.Name, ast.Attribute)):
                yield side.lineno, ast.unparse(side).rpartition(".")[2]
