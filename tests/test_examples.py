"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

import invbench
from invbench.executors import PACKAGES

MISSING = tuple(
    f"invbench.executors.{name}"
    for name, package in PACKAGES.items()
    if importlib.util.find_spec(package) is None
)
MODULES = [
    found.name
    for found in pkgutil.walk_packages(invbench.__path__, "invbench.")
    if not found.name.endswith(("__main__", *MISSING))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    module = importlib.import_module(name)
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    runner = doctest.DocTestRunner(verbose=False)
    said = []
    for test in found:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_there_are_examples_to_run():
    finder = doctest.DocTestFinder()
    modules = map(importlib.import_module, MODULES)
    assert sum(len(test.examples) for module in modules for test in finder.find(module)) > 100
