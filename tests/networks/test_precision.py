"""In bfloat16 a network computes, and nothing around it does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from pretended_card import leaves, line
from skimage import data
from torch.utils._python_dispatch import TorchDispatchMode

from invbench.evaluation import Settings, draw_samples, observe
from invbench.metrics import psnr
from invbench.models import CASES, Case
from invbench.models.jpeg_codec import JpegCodec
from invbench.networks import narrow
from invbench.suite import Options
from invbench.suite.own_samplers import OwnSampler
from invbench.suite.resolve import Suite

pytestmark = pytest.mark.slow


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


def drawn(name, *, dtype="bfloat16", steps=2):
    """Draw two samples of an image, in a few steps where there are steps."""
    case = Case(*name.split("-"))
    suite = Suite(Options(device="cpu", dtype=dtype, images=1, samples=2, offline=True))
    subject = suite.subject(case)
    sampler = subject.sampler
    if hasattr(sampler, "options"):
        sampler = replace(sampler, options=replace(sampler.options, steps=steps))
    observed = observe(suite.data_set(case.task).photos[0], suite.problem(case.task), suite.device)
    with Narrowness() as seen:
        samples = draw_samples(sampler, observed, suite.settings)
    return samples, seen.files


@pytest.mark.parametrize("name", ["chimle-colorization", "ddrm-colorization", "monce-sr16"])
def test_only_a_network_computes_in_bfloat16(name):
    samples, files = drawn(name)
    assert files
    assert all(file.startswith("networks/") for file in files)
    assert "networks/colorspaces.py" not in files
    exact, none = drawn(name, dtype="float32")
    assert none == set()
    errors = (samples - exact).square().mean((1, 2, 3)).sqrt()
    assert 0 < errors.max() <= 1 / 255


def test_a_network_whose_predictions_are_rounded_stays_exact():
    samples, files = drawn("ddrm-decompression")
    assert files == set()
    assert torch.equal(samples, drawn("ddrm-decompression", dtype="float32")[0])


def test_a_record_says_that_a_network_stayed_exact():
    suite = Suite(Options(device="cpu", dtype="bfloat16"))
    dtypes = {
        task: suite.subject(Case("ddrm", task)).identity().get("network_dtype")
        for task in ("sr16", "decompression")
    }
    assert dtypes == {"sr16": None, "decompression": "float32"}
    assert "network_dtype" not in Suite(Options()).subject(Case("ddrm", "decompression")).identity()


def test_rounding_makes_steps_of_small_errors():
    # what keeps that network in float32: a bfloat16's own error goes in, eighteen times that out
    codec = JpegCodec(quality=1, kind="aligned")
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 127.5 - 1
    narrowed = image.bfloat16().float()
    error, after = (
        127.5 * (two - one).square().mean().sqrt()
        for one, two in ((image, narrowed), map(codec.project, (image, narrowed)))
    )
    assert error < 0.12
    assert after > 1.5


@pytest.mark.every_pair
@pytest.mark.parametrize("pair", CASES, ids=lambda pair: pair.id)
def test_bfloat16_costs_no_pair_more_than_a_level_or_a_fifth_of_a_decibel(pair):
    wide, narrowed = (drawn(pair.id, dtype=dtype, steps=20)[0] for dtype in ("float32", "bfloat16"))
    assert 255 * (narrowed - wide).square().mean((1, 2, 3)).sqrt().max() <= 1
    suite = Suite(Options(device="cpu", images=1))
    observed = observe(suite.data_set(pair.task).photos[0], suite.problem(pair.task), suite.device)
    before, after = (  # beyond 60 dB levels agree
        psnr(observed.problem.operator(samples), observed.compared)
        .clamp(max=60)
        .mean()  # beyond, levels agree
        for samples in (wide, narrowed)
    )
    assert after >= before - 0.2


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
