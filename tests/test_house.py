"""The shape of the house: who knows Hydra, how large a room is, and what a row of a table is."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "net2vec_pl"
FILES = sorted(PACKAGE.rglob("*.py"))
LARGEST_ROOM = 0.15  # of all lines
LONGEST = 40  # lines of a function without its docstring


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def imports_of(tree: ast.Module) -> set[str]:
    """Return the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def test_only_config_knows_hydra(trees: dict[Path, ast.Module]) -> None:
    knowing = {
        room_of(path)
        for path, tree in trees.items()
        if any(re.match(r"(hydra|omegaconf)\b", name) for name in imports_of(tree))
    }
    assert knowing == {"config"}


def test_no_room_is_most_of_the_house() -> None:
    lines = Counter[str]()
    for path in FILES:
        lines[room_of(path)] += len(path.read_text(encoding="utf-8").splitlines())
    largest, count = lines.most_common(1)[0]
    assert count <= LARGEST_ROOM * lines.total(), largest


def test_no_two_files_import_each_other(trees: dict[Path, ast.Module]) -> None:
    """Packages count as their ``__init__.py``; imports inside functions count too."""
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in FILES
    }
    graph = {name: imports_of(trees[path]) & {*names} - {name} for name, path in names.items()}
    while leaves := {name for name, needed in graph.items() if not needed & {*graph}}:
        graph = {name: needed for name, needed in graph.items() if name not in leaves}
    assert not graph, "these files stand in a circle, or behind one"


def test_functions_fit_on_a_screen(trees: dict[Path, ast.Module]) -> None:
    long = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                words = ast.get_docstring(node, clean=False) or ""
                body = node.end_lineno - node.lineno + 1 - len(words.splitlines())  # type: ignore[operator]
                if body > LONGEST:
                    long.append(f"{path.name}: {node.name}, {body}")
    assert not long


def test_rows_of_tables_are_records(trees: dict[Path, ast.Module]) -> None:
    """What a table holds is a frozen dataclass, and its columns stand in records/ alone."""
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and "csv.DictWriter" in ast.unparse(node.func):
                assert path.relative_to(PACKAGE).as_posix() in (
                    "records/table.py",
                    "sweeps/ledger.py",  # a line of the ledger has whatever scores its job has
                    "tracking/files.py",  # Lightning's own table
                ), path
