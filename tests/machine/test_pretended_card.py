"""Every pair runs on a card that is not there: nothing mixes, and values are the CPU's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pretended_card import DeviceMixError, pretended_card, without_a_card

from invbench.evaluation import evaluate, observe, scoring
from invbench.metrics import lpips
from invbench.models import CASES, REFERENCES, Case, gan
from invbench.operators import exact
from invbench.seeding import generator, randn
from invbench.suite import Options
from invbench.suite.resolve import Suite
from invbench.uncertainty import interval

pytestmark = [without_a_card, pytest.mark.slow]

OF_EACH_FAMILY = {"bicyclegan-colorization", "chimle-colorization", "ddrm-colorization"}
PAIRS = [
    pytest.param(case, marks=[] if case.id in OF_EACH_FAMILY else pytest.mark.every_pair)
    for case in (*CASES, *REFERENCES)
]

STEPS = 2

# Waits of one call of a sampler that has been called before. These may fall and must not rise.
WAITS = {"reference-colorization": 6, "reference-sr16": 6, "reference-decompression": 178}


def suite(device):
    return Suite(Options(profile="tiny", device=device, images=2, samples=2, offline=True))


def shortened(subject):
    """Have a diffusion model take few steps; they are alike."""
    sampler = subject.sampler
    if hasattr(sampler, "options"):
        sampler = replace(sampler, options=replace(sampler.options, steps=STEPS))
    elif hasattr(getattr(sampler, "config", None), "sampling"):
        sampling = replace(sampler.config.sampling, steps=STEPS)
        sampler = replace(sampler, config=replace(sampler.config, sampling=sampling))
    return replace(subject, sampler=sampler)


def measure(case, device):
    chosen = suite(device)
    return evaluate(chosen.experiment(case, shortened(chosen.subject(case)))).scores


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.id)
def test_a_pair_is_measured_as_on_the_cpu(pair):
    on_cpu = measure(pair, "cpu")
    with pretended_card() as card:
        on_card = measure(pair, "cuda:0")
    assert card.launches.total() > 500
    for name, scores in on_cpu.items():
        np.testing.assert_allclose(on_card[name], scores, rtol=1e-3, atol=1e-3, err_msg=name)


def calls(case):
    """Return what the second call of a pair's sampler asked of the card."""
    chosen = suite("cuda:0")
    subject, photo = shortened(chosen.subject(case)), chosen.data_set(case.task).photos[0]
    observed = observe(photo, chosen.problem(case.task), chosen.device)
    inputs = observed.observation.expand(2, -1, -1, -1), [generator(0), generator(1)]
    with torch.no_grad():
        subject.sampler(*inputs)
        with pretended_card() as card:
            subject.sampler(*inputs)
    return card


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.id)
def test_the_host_waits_for_the_card_no_more_often_than_it_did(pair):
    with pretended_card():
        waits = calls(pair).waits
    assert waits.total() <= WAITS.get(pair.id, 0), waits.most_common()


@pytest.mark.parametrize("rule", ["linear", "weibull"])
def test_quantiles_of_a_large_image_cost_no_more_launches_than_of_a_small_one(rule):
    launches, limits = [], []
    for size in (32, 512):
        samples = torch.rand(20, 3, size, size, generator=generator(size))
        with pretended_card() as card:
            found = interval(samples.to("cuda"), level=0.9, rule=rule)
            limits.append(found.lower.cpu())
        launches.append(card.launches.total())
        assert torch.equal(limits[-1], interval(samples, level=0.9, rule=rule).lower)
    assert launches[0] == launches[1] > 0


def forget_the_device(monkeypatch):
    host = lambda generators, shape, device: randn(generators, shape)  # noqa: ARG005, E731
    monkeypatch.setattr(gan, "randn", host)


def keep_a_constant_on_the_host(monkeypatch):
    host = lambda value, device: torch.full((1,), value, dtype=torch.int32)  # noqa: ARG005, E731
    monkeypatch.setattr(exact, "_constant", host)


def shift_by_a_tensor_of_the_host(monkeypatch):
    signed = lpips.to_signed
    monkeypatch.setattr(lpips, "to_signed", lambda images: signed(images) + torch.zeros(3, 1, 1))


def read_as_numpy(monkeypatch):
    covers = lambda intervals, target: intervals.covers(target).numpy().mean()  # noqa: E731
    monkeypatch.setattr(scoring, "coverage", covers)


def draw_on_the_card(monkeypatch):
    def drawn(generators, shape, device):
        return torch.stack(
            [torch.randn(*shape, generator=one, device=device) for one in generators]
        )

    monkeypatch.setattr(gan, "randn", drawn)


@pytest.mark.parametrize(
    ("plant", "error"),
    [
        (forget_the_device, DeviceMixError),
        (keep_a_constant_on_the_host, DeviceMixError),
        (shift_by_a_tensor_of_the_host, DeviceMixError),
        (read_as_numpy, RuntimeError),
        (draw_on_the_card, RuntimeError),
    ],
)
def test_what_a_card_would_refuse_is_refused(plant, error, monkeypatch):
    plant(monkeypatch)
    with pretended_card(), pytest.raises(error):
        measure(Case("bicyclegan", "colorization"), "cuda:0")


def waits_of(function):
    with pretended_card() as card:
        values = torch.arange(6.0).to("cuda")
        before = card.waits.copy()
        function(values)
    return [what for what, _ in (card.waits - before)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x + 1, []),
        (lambda x: x[torch.tensor([1, 2]).to("cuda")], ["to card"]),
        (lambda x: x.sum().item(), ["_local_scalar_dense"]),
        (lambda x: bool(x[0] > 0), ["_local_scalar_dense"]),
        (lambda x: x.nonzero(), ["nonzero"]),
        (lambda x: x[x > 2], ["index by mask"]),
        (lambda x: x[[1, 2]], ["to card"]),
        (lambda x: x[torch.tensor([1, 2])], ["index to card"]),
        (lambda x: x.cpu(), ["to host"]),
        (lambda x: x.copy_(torch.ones(6)), ["to card"]),
        (lambda x: x.copy_(torch.ones(6), non_blocking=True), ["to card"]),
        (lambda x: x.copy_(torch.ones(6).pin_memory(), non_blocking=True), []),
        (lambda _: torch.ones(6).pin_memory().to("cuda", non_blocking=True), []),
        (lambda _: torch.empty(6, pin_memory=True).to("cuda", non_blocking=True), []),
        (lambda _: torch.ones(6).pin_memory().to("cuda"), ["to card"]),
    ],
)
def test_waits_are_seen(function, expected):
    assert waits_of(function) == expected
