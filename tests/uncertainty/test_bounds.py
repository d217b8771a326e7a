"""Confidence bounds against stored official values, closed forms and exact sums."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from invbench.uncertainty import (
    hoeffding_bentkus,
    hoeffding_bentkus_conffusion_published,
    hoeffding_bentkus_im2im_published,
    largest_acceptable_risk,
    wsr,
)
from invbench.uncertainty.bounds import wsr_accepts
from invbench.uncertainty.errors import InvalidLevelError, InvalidLossesError

# largest empirical risk whose bound is at most 0.1 with delta 0.1, by number of images
ACCEPTABLE_RISKS = {
    22: 0.0,
    25: 0.0028,
    30: 0.0078,
    40: 0.0164,
    50: 0.0232,
    75: 0.0348,
    100: 0.0424,
    150: 0.0533,
    200: 0.06,
    300: 0.0666,
    500: 0.074,
    1000: 0.082,
}


def losses_of(n, seed=0, mean=0.05):
    return np.random.default_rng(seed).beta(1, 1 / mean - 1, size=n)


def table(bound, stored):
    return np.array(
        [
            [
                [bound(float(risk), int(n), float(delta)) for delta in stored["hb.delta"]]
                for n in stored["hb.n"]
            ]
            for risk in stored["hb.muhat"]
        ]
    )


@pytest.fixture(scope="module")
def stored(refs):
    return {
        key: value.numpy() for key, value in refs("uncertainty/uncertainty.safetensors").items()
    }


class TestPublishedBounds:
    def test_of_im2im_are_reproduced(self, stored):
        got = table(hoeffding_bentkus_im2im_published, stored)
        np.testing.assert_allclose(got, stored["hb.im2im"], rtol=0, atol=1e-6)
        same = hoeffding_bentkus_im2im_published(stored["wsr.x"].mean(), 200, 0.1)
        np.testing.assert_allclose(same, stored["wsr.hb_same"], rtol=0, atol=1e-6)

    def test_of_conffusion_are_reproduced(self, stored):
        got = table(hoeffding_bentkus_conffusion_published, stored)
        np.testing.assert_allclose(got, stored["hb.conffusion"], rtol=0, atol=1e-6)

    def test_give_up_at_zero_risk(self):
        assert hoeffding_bentkus_im2im_published(0.0, 500, 0.1) == 1
        assert hoeffding_bentkus_conffusion_published(0.0, 500, 0.1) == 1
        assert hoeffding_bentkus(0.0, 500, 0.1) < 0.01

    def test_are_too_small_where_they_round_down(self):
        assert hoeffding_bentkus_im2im_published(0.09, 5, 0.1) < hoeffding_bentkus(0.09, 5, 0.1)


class TestHoeffdingBentkus:
    def test_equals_the_stored_values(self, stored):
        got = table(hoeffding_bentkus, stored)
        counts = stored["hb.muhat"][:, None] * stored["hb.n"]
        # 0.07 x 100 is 7.000000000000001 in binary; the stored values take its ceiling for 8
        spurious = np.ceil(counts) != np.ceil(np.round(counts, 9))
        assert spurious.sum() == 3
        sound = np.where(spurious[..., None], stored["hb.corrected_ceil"], got)
        np.testing.assert_allclose(sound, stored["hb.corrected_ceil"], rtol=0, atol=1e-6)
        assert (got <= stored["hb.corrected_ceil"] + 1e-6).all()

    @pytest.mark.parametrize("n", [5, 22, 50, 1000])
    def test_at_zero_risk_is_the_closed_form(self, n):
        assert hoeffding_bentkus(0.0, n, 0.1) == pytest.approx(1 - 0.1 ** (1 / n), abs=1e-9)

    @pytest.mark.parametrize("n", [7, 50, 200])
    @pytest.mark.parametrize("delta", [0.1, 0.01])
    def test_fails_no_more_often_than_promised_for_coins(self, n, delta):
        counts = np.arange(n + 1)
        bounds = np.array([hoeffding_bentkus(k / n, n, delta) for k in counts])
        for mu in np.linspace(0.01, 0.99, 41):
            assert binom.pmf(counts, n, mu)[bounds < mu].sum() <= delta

    def test_is_no_looser_than_hoeffding_alone(self):
        for risk in (0.0, 0.02, 0.3):
            simple = risk + math.sqrt(math.log(1 / 0.1) / (2 * 50))
            assert risk < hoeffding_bentkus(risk, 50, 0.1) <= simple

    def test_is_one_at_risk_one(self):
        assert hoeffding_bentkus(1.0, 50, 0.1) == 1

    def test_refuses_what_is_no_risk(self):
        for risk, n in [(-0.1, 50), (1.1, 50), (math.nan, 50), (0.1, 0)]:
            with pytest.raises(InvalidLossesError):
                hoeffding_bentkus(risk, n, 0.1)
        with pytest.raises(InvalidLevelError):
            hoeffding_bentkus(0.1, 50, 10)


class TestLargestAcceptableRisk:
    @pytest.mark.parametrize(
        ("n", "expected"),
        list(ACCEPTABLE_RISKS.items()),
    )
    def test_equals_the_table(self, n, expected):
        assert largest_acceptable_risk(n, 0.1, 0.1) == pytest.approx(expected, abs=1.1e-4)

    def test_does_not_exist_for_few_images(self):
        assert largest_acceptable_risk(21, 0.1, 0.1) < 0 <= largest_acceptable_risk(22, 0.1, 0.1)
        assert largest_acceptable_risk(28, 0.1, 0.05) < 0 <= largest_acceptable_risk(29, 0.1, 0.05)

    @pytest.mark.parametrize("n", [22, 37, 50, 200, 333])
    @pytest.mark.parametrize("alpha", [0.1, 0.25])
    def test_is_where_the_bound_crosses_alpha(self, n, alpha):
        risk = largest_acceptable_risk(n, alpha, 0.1)
        assert hoeffding_bentkus(risk, n, 0.1) <= alpha
        assert hoeffding_bentkus(risk + 1e-4, n, 0.1) > alpha


class TestWsr:
    def test_equals_the_stored_values(self, stored):
        for delta in (0.1, 0.01):
            expected = stored[f"wsr.bound_delta_{delta}"]
            np.testing.assert_allclose(wsr(stored["wsr.x"], delta), expected, rtol=0, atol=1e-6)

    def test_is_the_smallest_mean_at_which_the_capital_reached_its_goal(self):
        losses, delta = losses_of(40), 0.1
        bound = wsr(losses, delta)

        def best_capital(mu):
            capital, best, total, squares, variance = 1.0, 0.0, 0.0, 0.0, 0.25
            for i, loss in enumerate(losses, start=1):
                bet = min(1, math.sqrt(2 * math.log(1 / delta) / (len(losses) * variance)))
                capital *= 1 - bet * (loss - mu)
                best = max(best, capital)
                total += loss
                squares += (loss - (0.5 + total) / (1 + i)) ** 2
                variance = (0.25 + squares) / (1 + i)
            return best

        assert best_capital(bound) == pytest.approx(1 / delta, rel=1e-6)
        assert best_capital(bound - 1e-3) < 1 / delta

    def test_fails_no_more_often_than_promised(self):
        failures = sum(wsr(losses_of(50, seed, 0.1), 0.1) < 0.1 for seed in range(400))
        assert binom.sf(failures - 1, 400, 0.1) > 0.001

    def test_is_tighter_than_hoeffding_bentkus_on_small_varied_losses(self):
        losses = losses_of(100)
        assert losses.mean() < wsr(losses, 0.1) < hoeffding_bentkus(losses.mean(), 100, 0.1)

    def test_depends_on_the_order(self):
        losses = np.sort(losses_of(50))
        assert wsr(losses, 0.1) != pytest.approx(wsr(losses[::-1], 0.1), abs=1e-4)

    def test_is_one_for_total_loss_and_survives_the_extremes(self):
        assert wsr(np.ones(50), 0.1) == 1
        assert 0 < wsr(np.zeros(50), 0.1) < 0.1
        assert 0 < wsr([1.0] + [0.0] * 99, 0.1) < 0.2

    def test_accepts_exactly_where_the_bound_is_at_most_alpha(self):
        rows = np.stack([losses_of(60, seed, mean) for seed, mean in enumerate([0.01, 0.05, 0.08])])
        for alpha in (0.05, 0.1, 0.12):
            expected = [wsr(row, 0.1) <= alpha for row in rows]
            assert wsr_accepts(rows, alpha, 0.1).tolist() == expected

    def test_refuses_what_are_no_losses(self):
        for losses in ([0.1, math.nan], [0.1, 1.2], [-0.1, 0.2], []):
            with pytest.raises(InvalidLossesError):
                wsr(losses, 0.1)
