"""Each defect of a task is named on its line, and nothing else; the built-in ones are clean."""

from __future__ import annotations

import flawed
import pytest
import torch

from invbench.conformance import check_task
from invbench.data.photos import photos
from invbench.problems import find_task

CPU = torch.device("cpu")
NAMES = [
    *("sr2", "sr16", "colorization", "decompression", "jpeg40", "inpaint-box", "inpaint-random50"),
    *("deblur-gaussian", "deblur-motion", "denoise25", "sr4+n5", "inpaint-box+n5"),
]


def check(factory, size=32):
    return check_task(lambda: factory().problem((size, size)), lambda: photos(size, 3), CPU)


def of(verdict, findings):
    return [one.name for one in findings if one.verdict == verdict]


@pytest.mark.parametrize(("name", "broken"), [(n, b) for n, (_, b) in flawed.TASKS.items()])
def test_a_defect_is_named_on_its_line_and_nothing_else(name, broken):
    assert of("FAILED", check(flawed.TASKS[name][0])) == broken


@pytest.mark.parametrize("name", NAMES)
def test_built_in_tasks_are_clean(name):
    findings = check(lambda: find_task(name))
    assert of("FAILED", findings) == []
    twin = ["twin", "twin's values", "adjoint", "pinv"]
    assert of("not tested", findings) == (twin if name in {"decompression", "jpeg40"} else [])
