"""How far are our numbers from those of the original implementations?

Run: python benchmarks/studies/parity.py

Runs every test that reads the reference tensors, watches what it compares, and prints for each
reference file how many of its results were compared, in whole or in part, and of the comparison
that came nearest to its tolerance the error and the tolerance. What a file holds beside results
are inputs: weights, images, noise. A result that no test compares has to be explained in
`UNCOMPARED`; one that is not makes this script fail, as does an error beyond its tolerance. Where
there are no references, nothing is compared and nothing fails.
"""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_right
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors import safe_open

ROOT = Path(__file__).parents[2]

INPUTS = {
    "gans/": r"(sd|init|in)/.*",
    "imle/": r"(sd|input|code|pool|projection|target)\..*|x|net_lab|rgb_u8",
    "diffusion/": (
        r"(sd|toy)\..*|(.*\.)?(x_T_)?noise.*|(.*\.)?x0|(score|sde)\.t|(cde_)?loss\.(u|z_.)|"
        r"fwd\.(x|y|labels)|x|t|vscmde\.steps|.*\.[USVx]"
    ),
    "uncertainty/": (
        r"hb\.(muhat|n|delta)|wsr\.x|(syn|score)\.(gt|samples.*)|conffusion\.metrics\.jitter"
    ),
}
"""What the originals were given; outputs, losses, gradients and all else are results."""

UNCOMPARED = {
    r"diffusion/ddrm_loops\.safetensors:(sr4|color)_noisy.*\.y0": (
        "an input: the observation with noise that was not stored"
    ),
    r"gans/monce_step\.safetensors:(grad|after)/G/.*": (
        "made with a defect of torch that the one installed here does not have"
    ),
    r"uncertainty/uncertainty\.safetensors:mc\..*": (
        "a simulation that is not the original's, from seeds of its own; "
        "benchmarks/studies/guarantees.py makes a larger one"
    ),
    r"uncertainty/uncertainty\.safetensors:score\.rank_ties": (
        "an input: between what bounds a rank lies where samples equal the target"
    ),
    r"imle/(srim_.*\.safetensors:.*|official_keys_srim_x8\.json)": (
        "the first cIMLE's network for 8 times super-resolution, which is no task here"
    ),
    r"gans/keys_monce_spade_official\.json": (
        "names in the label-to-image branch, of which only the loss is implemented"
    ),
}
"""Pattern of ``file:tensor``, or of a list of names -> why no test compares it."""

DEFAULTS = {torch.float32: (1.3e-6, 1e-5), torch.float64: (1e-7, 1e-7)}
"""Relative and absolute tolerance of `torch.testing.assert_close`; others compare exactly."""


@dataclass
class Comparison:
    """How often and how well a reference tensor was met.

    Attributes:
        times: number of comparisons.
        error: where it is the largest share of what was allowed.
        allowed: what was allowed there.
        failures: comparisons beyond their tolerance.
    """

    times: int = 0
    error: float = 0.0
    allowed: float = 0.0
    failures: int = 0

    @property
    def share(self):
        """Return the error as a share of what was allowed."""
        if not self.error:
            return 0.0
        return self.error / self.allowed if self.allowed else np.inf


@dataclass(eq=False)
class Watch:
    """A pytest plugin that keeps the tests with references and notes what they compare.

    A reference is recognized by its place in memory, so that parts of it are, too.

    Attributes:
        compared: what was found, by (file, tensor).
        read: the files that were read.
        failed: tests that failed.
        passed: number of tests that passed.
    """

    compared: dict[tuple[str, str], Comparison] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    passed: int = 0
    _starts: list[int] = field(default_factory=list)
    _tensors: list[tuple[str, str, torch.Tensor]] = field(default_factory=list)

    def pytest_collection_modifyitems(self, config, items):
        """Deselect the tests that read no reference."""
        chosen = [item for item in items if "refs" in item.fixturenames]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        """Be told of every reading."""
        value = yield
        if fixturedef.argname == "refs":
            value.observe = self.note
        return value

    def pytest_runtest_logreport(self, report):
        """Count verdicts."""
        self.passed += report.when == "call" and report.passed
        if report.failed:
            self.failed.append(report.nodeid)

    def note(self, name, content):
        """Remember where the tensors of a file lie in memory, and keep them there."""
        self.read.add(name)
        for key, tensor in content.items() if name.endswith(".safetensors") else ():
            place = bisect_right(self._starts, tensor.data_ptr())
            self._starts.insert(place, tensor.data_ptr())
            self._tensors.insert(place, (name, key, tensor))

    def find(self, value):
        """Return (file, tensor) of a reference tensor, of its array or of a part, or None."""
        if isinstance(value, torch.Tensor):
            address = value.data_ptr()
        elif isinstance(value, np.ndarray):
            address = value.__array_interface__["data"][0]
        else:
            return None
        place = bisect_right(self._starts, address) - 1
        if place < 0:
            return None
        name, key, tensor = self._tensors[place]
        return (name, key) if address < self._starts[place] + tensor.nbytes else None

    def watched(self, check, tolerances):
        """Wrap a comparison ``check(actual, expected, ...)`` so that it is noted."""

        def compare(actual, expected, *args, **options):
            reference = self.find(expected) or self.find(actual)
            if reference is None:
                return check(actual, expected, *args, **options)
            comparison = self.compared.setdefault(reference, Comparison())
            comparison.times += 1
            measure(comparison, actual, expected, *tolerances(expected, options))
            comparison.failures += 1
            agreed = check(actual, expected, *args, **options)
            comparison.failures -= agreed is not False
            return agreed

        return compare


def measure(comparison, actual, expected, relative, absolute):
    """Enter an error into a comparison if none was nearer to its tolerance; NaN equals NaN."""
    ours, theirs = (as_array(each) for each in (actual, expected))
    error, allowed = np.broadcast_arrays(
        np.nan_to_num(np.abs(ours - theirs)), absolute + relative * np.abs(np.nan_to_num(theirs))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(error > 0, error / allowed, 0.0)
    worst = np.unravel_index(share.argmax(), share.shape)
    found = replace(comparison, error=float(error[worst]), allowed=float(allowed[worst]))
    if comparison.times == 1 or found.share > comparison.share:
        comparison.error, comparison.allowed = found.error, found.allowed


def as_array(value):
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value, np.float64)


def tolerances_of_torch(expected, options):
    given = options.get("rtol"), options.get("atol")
    default = DEFAULTS.get(expected.dtype, (0.0, 0.0))
    return [float(d if g is None else g) for g, d in zip(given, default, strict=True)]


def tolerances_or(relative, absolute):
    return lambda _, options: (options.get("rtol", relative), options.get("atol", absolute))


COMPARISONS = (
    (torch.testing, "assert_close", tolerances_of_torch),
    (torch, "allclose", tolerances_or(1e-5, 1e-8)),
    (torch, "equal", tolerances_or(0.0, 0.0)),
    (np.testing, "assert_allclose", tolerances_or(1e-7, 0.0)),
)


def run_tests(watch):
    """Run the tests under watch."""
    with ExitStack() as stack:
        for owner, name, tolerances in COMPARISONS:
            wrapped = watch.watched(getattr(owner, name), tolerances)
            stack.enter_context(patch.object(owner, name, wrapped))
        options = ["-q", "--tb=short", "--no-header", "-p", "no:cacheprovider"]
        pytest.main([*options, str(ROOT / "tests")], plugins=[watch])


def tensors_of(folder):
    """Yield (file, names of its inputs, names of its results)."""
    for path in sorted(folder.glob("*/*.safetensors")):
        name = f"{path.parent.name}/{path.name}"
        with safe_open(path, "pt") as file:
            keys = list(file.keys())
        given = [key for key in keys if re.fullmatch(INPUTS[f"{path.parent.name}/"], key)]
        yield name, given, [key for key in keys if key not in given]


def explanation(name):
    """Return why something is not compared, or None."""
    return next((why for what, why in UNCOMPARED.items() if re.fullmatch(what, name)), None)


def grouped(names):
    """Return names by file and explanation."""
    groups = {}
    for name in names:
        groups.setdefault((name.partition(":")[0], explanation(name)), []).append(name)
    return groups


def report(watch, folder):
    """Print the inventory, and return the names of what nobody compares or explains."""
    print(
        f"{'reference':<56}{'inputs':>7}{'results':>8}{'compared':>9}{'error':>9}"
        f"{'tolerance':>10}{'out':>4}"
    )
    totals, uncompared = [0, 0, 0, 0], []
    for name, given, results in tensors_of(folder):
        met = [watch.compared[name, key] for key in results if (name, key) in watch.compared]
        numbers = [len(given), len(results), len(met), sum(one.failures for one in met)]
        worst = max(met, key=lambda one: one.share, default=Comparison())
        print(
            f"{name:<56}{numbers[0]:>7}{numbers[1]:>8}{numbers[2]:>9}"
            f"{worst.error:>9.1e}{worst.allowed:>10.1e}{numbers[3]:>4}"
        )
        totals = [sum(pair) for pair in zip(totals, numbers, strict=True)]
        lost = [key for key in results if (name, key) not in watch.compared]
        uncompared += [f"{name}:{key}" for key in lost]
    print(f"{'all':<56}{totals[0]:>7}{totals[1]:>8}{totals[2]:>9}{'':19}{totals[3]:>4}")
    lists = sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.json"))
    print(f"\n{len(watch.read & set(lists))} of {len(lists)} lists of names and numbers compared")
    uncompared += [name for name in lists if name not in watch.read]
    for (file, why), names in grouped(uncompared).items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        print(f"{file}: {len(names)} not compared, {why or 'UNEXPLAINED'}: {shown}")
    return [name for name in uncompared if explanation(name) is None]


def main():
    folder = Path(os.environ.get("INVBENCH_REFS", ROOT.parent / "shared" / "refs"))
    if not folder.is_dir():
        print(f"no reference tensors at {folder}; set INVBENCH_REFS. Nothing was compared.")
        return 0
    watch = Watch()
    run_tests(watch)
    unexplained = report(watch, folder)
    print(f"{watch.passed} tests passed, {len(watch.failed)} failed")
    return 1 if unexplained or watch.failed or not watch.passed else 0


if __name__ == "__main__":
    sys.exit(main())
