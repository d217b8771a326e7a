"""What the program around has set changes no number."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "global_state.py"
FEW = "reference-sr16,reference-inpaint-random50,bicyclegan-colorization"
ALL = ",".join(
    [
        *(f"{m}-sr16" for m in ("chimle", "cimle", "msgan", "divco", "monce", "ddrm", "ndm")),
        *("ddrm-decompression", "ndm-colorization", "reference-deblur-motion+n5"),
        *("reference-decompression", "reference-colorization"),
    ]
)
STATES = {
    "float64 and a device without values": (
        "import torch; torch.set_default_dtype(torch.float64); torch.set_default_device('meta')"
    ),
    "bfloat16, floating point errors, grad": (
        "import torch, numpy; torch.set_default_dtype(torch.bfloat16);"
        "numpy.seterr(divide='raise', invalid='raise'); torch.set_grad_enabled(False)"
    ),
    "printing and seeds": (
        "import torch, numpy, random; torch.set_printoptions(precision=1);"
        "numpy.set_printoptions(precision=1); torch.manual_seed(5); random.seed(3)"
    ),
}
LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def numbers(cases, code="pass", *, flags=(), **changes):
    """Return what the script prints under a state."""
    environment = {**os.environ, **changes}
    environment = {name: value for name, value in environment.items() if value is not None}
    command = [sys.executable, *flags, str(SCRIPT), cases, code]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def plain(cases):
    return numbers(cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_defaults_of_the_program_change_no_number(name):
    assert numbers(FEW, STATES[name]) == plain(FEW)


@pytest.mark.every_pair
@pytest.mark.parametrize("name", STATES)
def test_nor_those_of_any_method(name):
    assert numbers(ALL, STATES[name]) == plain(ALL)


@pytest.mark.slow
def test_nor_the_interpreter_the_locale_and_the_home(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    found = numbers(FEW, flags=["-O"], HOME="/proc", TORCH_HOME="/proc/none", **LOCALE)
    assert found == plain(FEW)
    assert numbers(FEW, flags=["-OO"], HOME=None, XDG_CACHE_HOME=str(home)) == plain(FEW)


def test_no_assert_carries_logic():
    """Under ``python -O`` they are gone: none does more than tell a type checker what is known."""
    found = []
    for path in (ROOT / "invbench").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        asserts = [node for node in nodes if isinstance(node, ast.Assert)]
        found += [f"{path.name}:{n.lineno}" for n in asserts if not _tells_a_type(n.test)]
    assert found == []


def _tells_a_type(test):
    if isinstance(test, ast.Call):
        return getattr(test.func, "id", "") == "isinstance"
    names = isinstance(test, ast.Compare) and isinstance(test.left, (ast.Name, ast.Attribute))
    return names and all(isinstance(op, ast.IsNot) for op in test.ops)
