"""Selection networks, quantiles and intervals against torch.sort, numpy and the theory."""

import itertools

import numpy as np
import pytest
import torch

from invbench.errors import InvalidSamplesError, UnknownNameError
from invbench.uncertainty import Interval, ideal_coverage, interval, pixel_quantiles
from invbench.uncertainty.errors import (
    InvalidLevelError,
    MismatchedImagesError,
    TooFewSamplesError,
)
from invbench.uncertainty.quantiles import block_pixels, position
from invbench.uncertainty.selection import selection_network


def run_network(network, values):
    registers = torch.empty(network.n_registers, *values.shape[1:], dtype=values.dtype).unbind(0)
    return torch.stack(network.run(values.unbind(0), registers))


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def ulps(first, second):
    return np.abs(first.view(np.int32).astype(np.int64) - second.view(np.int32)).max()


class TestSelectionNetwork:
    @pytest.mark.parametrize("n_inputs", range(1, 11))
    def test_selects_every_rank_of_all_binary_inputs(self, n_inputs):
        # by the 0-1 principle this proves it for all inputs
        inputs = torch.tensor(list(itertools.product([0, 1], repeat=n_inputs))).T
        expected = inputs.sort(0).values
        for rank in range(n_inputs):
            got = run_network(selection_network(n_inputs, (rank,)), inputs)
            assert torch.equal(got[0], expected[rank])
        everything = run_network(selection_network(n_inputs, tuple(range(n_inputs))), inputs)
        assert torch.equal(everything, expected)

    @pytest.mark.parametrize("n_inputs", [13, 20, 31, 50, 64, 77])
    def test_agrees_with_sorting_values_that_repeat(self, n_inputs):
        values = draw(n_inputs, 2000, seed=n_inputs) // 8
        for ranks in [(2, 3, n_inputs - 4, n_inputs - 3), (0,), (n_inputs // 2, n_inputs - 1)]:
            got = run_network(selection_network(n_inputs, ranks), values)
            assert torch.equal(got, values.sort(0).values[list(ranks)])

    def test_never_writes_its_inputs(self):
        values = draw(50, 100)
        before = values.clone()
        run_network(selection_network(50, (2, 47)), values)
        assert torch.equal(values, before)

    def test_stays_as_small_as_it_was(self):
        network = selection_network(50, (2, 3, 46, 47))
        assert len(network.steps) <= 366
        assert network.n_registers <= 17


class TestQuantiles:
    @pytest.mark.parametrize(
        ("rule", "n_samples"),
        [
            *(("linear", n_samples) for n_samples in (1, 2, 3, 19, 20, 50, 77)),
            *(("weibull", n_samples) for n_samples in (19, 20, 50, 77)),
        ],
    )
    def test_equals_numpy_to_one_unit_in_the_last_place(self, rule, n_samples):
        samples = draw(2, n_samples, 3, 7, 5).float() / 255
        got = pixel_quantiles(samples, [0.05, 0.3, 0.5, 0.95], rule=rule).numpy()
        expected = np.quantile(
            samples.double().numpy(), [0.05, 0.3, 0.5, 0.95], axis=1, method=rule
        ).astype(np.float32)
        assert ulps(got, expected) <= 1

    @pytest.mark.parametrize("rule", ["linear", "weibull"])
    def test_of_bytes_equals_numpy_on_their_fractions(self, rule):
        samples = draw(50, 3, 8, 8)
        got = pixel_quantiles(samples, [0.05, 0.95], rule=rule).numpy()
        exact = np.quantile(samples.double().numpy() / 255, [0.05, 0.95], axis=0, method=rule)
        assert ulps(got, exact.astype(np.float32)) <= 1

    def test_does_not_depend_on_blocks(self, monkeypatch):
        samples = draw(3, 20, 3, 8, 8).float() / 255
        whole = pixel_quantiles(samples, [0.05, 0.95])
        for n_pixels in (1, 7, 191, 193, 400):
            monkeypatch.setattr("invbench.uncertainty.quantiles.BLOCK_PIXELS", n_pixels)
            assert torch.equal(pixel_quantiles(samples, [0.05, 0.95]), whole)

    def test_accepts_samples_that_are_not_contiguous(self):
        samples = draw(50, 8, 8, 3).permute(0, 3, 1, 2)
        assert torch.equal(
            pixel_quantiles(samples, [0.5]), pixel_quantiles(samples.contiguous(), [0.5])
        )

    @pytest.mark.parametrize(("n_samples", "ranks"), [(50, 50), (200, 200), (50, 4)])
    def test_scratch_stays_below_64_mebibytes(self, n_samples, ranks):
        network = selection_network(n_samples, tuple(range(ranks)))
        assert block_pixels(4 * network.n_registers) * 4 * network.n_registers < 64 << 20

    @pytest.mark.parametrize(
        ("bad", "what"),
        [
            (torch.full((20, 3, 2, 2), torch.nan), "NaN"),
            (torch.full((20, 3, 2, 2), 1.5), r"beyond \[0, 1\]"),
            (torch.zeros(20, 3, 2), "K, C, H, W"),
            (torch.zeros(0, 3, 2, 2), "non-empty"),
            (torch.zeros(20, 3, 2, 2, dtype=torch.int64), "dtype"),
        ],
    )
    def test_refuses_what_are_not_samples(self, bad, what):
        with pytest.raises(InvalidSamplesError, match=what):
            pixel_quantiles(bad, [0.5])


class TestPosition:
    @pytest.mark.parametrize(
        ("rule", "expected"), [("linear", 3.45), ("weibull", 2.55), ("order", 2)]
    )
    def test_of_fifty_samples(self, rule, expected):
        assert position(50, 0.05, rule) == pytest.approx(expected)
        assert position(50, 0.95, rule) == pytest.approx(51 - expected)

    @pytest.mark.parametrize("rule", ["weibull", "order"])
    def test_nineteen_samples_are_just_enough(self, rule):
        assert position(19, (1 - 0.9) / 2, rule) == 1
        with pytest.raises(TooFewSamplesError, match="K>=19"):
            position(18, (1 - 0.9) / 2, rule)

    def test_refuses_unknown_rules_and_levels(self):
        with pytest.raises(UnknownNameError, match="linear"):
            position(50, 0.05, "liner")
        for probability in (0, 1, float("nan")):
            with pytest.raises(InvalidLevelError):
                position(50, probability, "linear")


class TestInterval:
    def test_takes_the_tails_of_the_level(self):
        samples = torch.linspace(0, 1, 101).reshape(101, 1, 1, 1)
        result = interval(samples, level=0.8, rule="linear")
        assert result.lower.item() == pytest.approx(0.1)
        assert result.upper.item() == pytest.approx(0.9)
        assert (result.level, result.rule, result.n_samples) == (0.8, "linear", 101)

    def test_reduces_over_samples_and_not_over_images(self):
        samples = draw(4, 20, 3, 5, 6)
        result = interval(samples)
        assert result.lower.shape == (4, 3, 5, 6)
        assert result.lower.dtype == torch.float32
        assert torch.equal(result.lower[2], interval(samples[2]).lower)

    def test_ignores_the_order_of_samples(self):
        samples = draw(20, 3, 4, 4)
        assert torch.equal(interval(samples).upper, interval(samples.flip(0)).upper)

    @pytest.mark.parametrize("rule", ["linear", "weibull", "order"])
    def test_nests_as_level_grows(self, rule):
        samples = draw(50, 3, 8, 8)
        inner, outer = interval(samples, level=0.5, rule=rule), interval(samples, rule=rule)
        assert (outer.lower <= inner.lower).all()
        assert (inner.upper <= outer.upper).all()

    def test_order_lies_on_samples_and_encloses_weibull(self):
        samples = draw(50, 3, 8, 8)
        order, weibull = interval(samples, rule="order"), interval(samples, rule="weibull")
        assert torch.equal((order.lower * 255).round().byte(), samples.sort(0).values[1])
        assert torch.equal((order.upper * 255).round().byte(), samples.sort(0).values[48])
        assert (order.width() >= weibull.width()).all()

    def test_ends_count_as_covered(self):
        image = torch.full((1, 1, 3), 0.5)
        result = Interval(image - 0.25, image + 0.25, 0.9, "linear", 50)
        target = torch.tensor([0.25, 0.75, 0.7500001]).reshape(1, 1, 3)
        assert result.covers(target).flatten().tolist() == [True, True, False]

    def test_refuses_to_broadcast_a_target(self):
        result = interval(draw(2, 20, 3, 4, 4))
        with pytest.raises(MismatchedImagesError):
            result.covers(torch.zeros(3, 4, 4))

    def test_refuses_levels_outside_the_open_interval(self):
        with pytest.raises(InvalidLevelError):
            interval(draw(20, 3, 4, 4), level=90)


def test_synthetic_intervals_are_the_stored_ones(refs):
    stored = refs("uncertainty/uncertainty.safetensors")
    got = interval(stored["syn.samples_img0"], rule="linear")
    assert torch.allclose(got.lower, stored["syn.lower_q05"][0], rtol=0, atol=1e-6)
    assert torch.allclose(got.upper, stored["syn.upper_q95"][0], rtol=0, atol=1e-6)
    mean = stored["syn.samples_img0"].mean(0)
    assert torch.allclose(mean, stored["syn.mean"][0], rtol=0, atol=1e-6)


class TestIdealCoverage:
    @pytest.mark.parametrize(
        ("rule", "expected"), [("linear", 44.1 / 51), ("weibull", 0.9), ("order", 47 / 51)]
    )
    def test_of_fifty_samples(self, rule, expected):
        assert ideal_coverage(50, 0.9, rule) == pytest.approx(expected)

    @pytest.mark.parametrize("rule", ["linear", "weibull", "order"])
    @pytest.mark.parametrize("n_samples", [20, 50])
    def test_is_what_uniform_samples_reach(self, rule, n_samples):
        n_entries = 60_000
        draws = torch.rand(
            n_samples + 1, 1, 1, n_entries, generator=torch.Generator().manual_seed(1)
        )
        reached = interval(draws[1:], rule=rule).covers(draws[0]).double().mean().item()
        # five standard errors of independent entries; rules differ by much more
        assert reached == pytest.approx(ideal_coverage(n_samples, 0.9, rule), abs=0.0065)

    def test_agrees_with_the_stored_simulation(self, refs):
        # that sampler was not uniform, hence the loose bound: rules differ by 0.035
        stored = refs.json("uncertainty/quantile_coverage_n50.json")
        for rule in ("linear", "weibull"):
            assert ideal_coverage(50, 0.9, rule) == pytest.approx(stored[rule], abs=0.006)
