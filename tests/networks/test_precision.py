"""In bfloat16 a network computes, and nothing around it does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from pretended_card import leaves, line
from torch.utils._python_dispatch import TorchDispatchMode

from invbench.evaluation import Settings, draw_samples, observe
from invbench.models import Case
from invbench.networks import narrow
from invbench.suite import Options
from invbench.suite.own_samplers import OwnSampler
from invbench.suite.resolve import Suite


class Narrowness(TorchDispatchMode):
    """Collects the files of ours whose operations read or write bfloat16."""

    def __init__(self):
        super().__init__()
        self.files = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        values = leaves((*args, found))
        if any(isinstance(v, torch.Tensor) and v.dtype == torch.bfloat16 for v in values):
            self.files.add(line().partition(":")[0])
        return found


def drawn(name, *, dtype="bfloat16"):
    """Draw two samples of an image, in two steps where there are steps."""
    case = Case(*name.split("-"))
    suite = Suite(Options(device="cpu", dtype=dtype, images=1, samples=2, offline=True))
    subject = suite.subject(case)
    sampler = subject.sampler
    if hasattr(sampler, "options"):
        sampler = replace(sampler, options=replace(sampler.options, steps=2))
    observed = observe(suite.data_set(case.task).photos[0], suite.problem(case.task), suite.device)
    with Narrowness() as seen:
        samples = draw_samples(sampler, observed, suite.settings)
    return samples, seen.files


@pytest.mark.parametrize(
    "name", ["chimle-colorization", "ddrm-colorization", "ddrm-decompression", "monce-sr16"]
)
def test_only_a_network_computes_in_bfloat16(name):
    samples, files = drawn(name)
    assert files
    assert all(file.startswith("networks/") for file in files)
    assert "networks/colorspaces.py" not in files
    exact, none = drawn(name, dtype="float32")
    assert none == set()
    errors = (samples - exact).square().mean((1, 2, 3)).sqrt()
    assert 0 < errors.max() <= 1 / 255


def test_the_reference_has_no_network_and_stays_exact():
    samples, files = drawn("reference-sr16")
    assert files == set()
    assert torch.equal(samples, drawn("reference-sr16", dtype="float32")[0])


def test_outputs_are_float32_whether_one_or_several():
    class Twice(torch.nn.Linear):
        def forward(self, x):
            once = super().forward(x)
            self.inside = once.dtype
            return once, [once]

    network = Twice(2, 2)
    narrow(network, "cpu")
    first, (second,) = network(torch.ones(1, 2))
    assert network.inside == torch.bfloat16
    assert (first.dtype, second.dtype) == (torch.float32, torch.float32)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("dtype", "autocast"), [("bfloat16", True), ("float32", False)])
def test_a_sampler_of_ones_own_is_called_under_autocast(dtype, autocast):
    seen = []

    def factory(problem, device):  # noqa: ARG001
        def sampler(observation, generators):
            seen.append(torch.is_autocast_enabled("cpu"))
            return observation.new_zeros(len(generators), 3, 4, 4)

        sampler.nfe = 3
        return sampler

    own = OwnSampler("mine", "tests:factory", factory)
    subject = own.subject(None, torch.device("cpu"), dtype=dtype)
    problem = SimpleNamespace(name="t")
    observed = SimpleNamespace(
        problem=problem, image_id="a", target=torch.zeros(3, 4, 4), observation=torch.zeros(3, 4, 4)
    )
    draw_samples(subject.sampler, observed, Settings(n_samples=1, chunk_size=1, dtype=dtype))
    assert seen == [autocast]
    assert subject.nfe == 3
