"""Imports go down the house, and what must start at once does not import torch."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room may import the rooms on the floors below it, and nothing else.
FLOORS = (
    {"errors", "escaping", "exit_codes", "seeding"},
    {"executors", "files"},
    {"machine", "networks"},
    {"images", "runs"},
    {"data", "gate", "metrics", "operators", "uncertainty"},
    {"problems", "report"},
    {"models"},
    {"adapters", "worlds"},
    {"evaluation", "sentinels"},
    {"conformance", "suite", "training"},
    {"plugin", "verbs"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
AT_THE_ROOT = {room for room in FLOOR_OF if (ROOT / "invbench" / f"{room}.py").exists()}
FOLDERS = sorted(FLOOR_OF.keys() - AT_THE_ROOT)
WITHOUT_TORCH = ("runs", "gate", "report", "suite.options", "cli")


def modules():
    """Yield (room, path) of every module but the package's own ``__init__``."""
    for path in sorted((ROOT / "invbench").rglob("*.py")):
        parts = path.relative_to(ROOT / "invbench").with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], path


def imported(path):
    """Yield (room, line) of every import of ours, those for type checking included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("invbench."):
            yield node.module.split(".")[1], node.lineno
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("invbench."):
                    yield name.name.split(".")[1], node.lineno


def test_every_module_has_a_floor():
    assert {room for room, _ in modules()} == set(FLOOR_OF)


def test_the_front_door_is_not_the_cellar():
    assert len(AT_THE_ROOT) + 1 <= 9  # with __init__.py


def test_imports_go_down():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for room, path in modules()
        for target, line in imported(path)
        if target != room and FLOOR_OF[target] >= FLOOR_OF[room]
    ]
    assert wrong == []


@pytest.mark.parametrize("room", FOLDERS)
def test_a_room_says_what_it_answers_and_what_outsiders_may_import(room):
    package = importlib.import_module(f"invbench.{room}")
    first = (package.__doc__ or "").split("\n\n")[0]
    assert first.endswith(("?", "."))
    assert package.__all__ == sorted(set(package.__all__), key=package.__all__.index)
    assert all(hasattr(package, name) for name in package.__all__)


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_torch_stays_out(name):
    code = f"import invbench.{name}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_files_and_functions_stay_small():
    long_files, long_functions = [], []
    for _, path in modules():
        text = path.read_text()
        if text.count("\n") > 300:
            long_files.append(path.name)
        long_functions.extend(
            f"{path.name}:{node.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno > 65
        )
    assert (long_files, long_functions) == ([], [])
