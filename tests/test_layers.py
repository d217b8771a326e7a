"""Imports go one way, and what must start at once does not import torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each may import those before it.
# fmt: off
ORDER = [
    "errors", "exit_codes", "files", "images", "colorspaces", "operators", "data", "seeding",
    "typed_json",
    "tasks", "profiles", "networks", "models", "cases", "training", "sampling", "metrics",
    "uncertainty", "sentinels", "timing", "environment", "records", "store", "scoring", "disk",
    "schema", "validation", "merging", "recipes", "rounds", "summary", "evaluate",
    "statistics", "limits", "gate", "executors", "report", "options", "suite", "speed", "verbs",
    "plugin", "cli", "__main__",
]
# fmt: on
RANK = {name: rank for rank, name in enumerate(ORDER)}
WITHOUT_TORCH = ("records", "store", "limits", "statistics", "gate", "report", "options", "cli")


def modules():
    for path in sorted((ROOT / "invbench").rglob("*.py")):
        parts = path.relative_to(ROOT / "invbench").with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], path


def imported(path):
    """Yield (layer, line) of every invbench import that runs when the module is imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("invbench."):
            yield node.module.split(".")[1], node.lineno
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("invbench."):
                    yield name.name.split(".")[1], node.lineno


def test_every_module_has_a_layer():
    assert {layer for layer, _ in modules()} <= set(RANK)


def test_imports_go_one_way():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for layer, path in modules()
        for target, line in imported(path)
        if target != layer and RANK[target] >= RANK[layer]
    ]
    assert wrong == []


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_torch_stays_out(name):
    if not list((ROOT / "invbench").glob(f"{name}*")):
        pytest.skip(f"invbench.{name} is not there yet")
    code = f"import invbench.{name}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_files_and_functions_stay_small():
    long_files, long_functions = [], []
    for _, path in modules():
        text = path.read_text()
        if text.count("\n") > 350:
            long_files.append(path.name)
        long_functions.extend(
            f"{path.name}:{node.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno > 80
        )
    assert (long_files, long_functions) == ([], [])
