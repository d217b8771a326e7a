"""Chi-squared tells samples that fit the noise from those that do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from invbench.data import DataSet
from invbench.data.synthetic import GaussianField, gaussian_photos
from invbench.evaluation import Experiment, NoiseFit, Settings, Subject, evaluate
from invbench.metrics import Metric, psnr
from invbench.models import Case
from invbench.models.noisy_posterior import NoisyPosterior
from invbench.problems import find_task
from invbench.seeding import generator, randn

SIDE = 32
METRICS = (Metric(name="psnr", unit="dB", higher_is_better=True, version="1", function=psnr),)


def run(name, make, n_images=9, n_samples=10):
    """Measure a sampler on targets of a known law."""
    task = find_task(name)
    problem = task.problem((SIDE, SIDE))
    exact = NoisyPosterior(GaussianField(SIDE, SIDE), problem.linear, problem.noise.std)
    experiment = Experiment(
        case=Case("mine", name),
        task=task,
        subject=Subject(make(exact, problem)),
        data=DataSet("gaussian", gaussian_photos(SIDE, n_images)),
        settings=Settings(n_samples=n_samples, chunk_size=10),
        metrics=METRICS,
    )
    return evaluate(experiment)


def honest(exact, problem):  # noqa: ARG001
    return exact


def overfitting(exact, problem):
    """Take the noise for a quarter of what it is."""
    return NoisyPosterior(exact.field, problem.linear, problem.noise.std / 4)


def careless(exact, problem):  # noqa: ARG001
    """Vary in what was measured, too."""

    def sampler(observation, generators):
        images = exact(observation, generators)
        noise = randn(generators, images.shape[1:], dtype=torch.float64)
        return (images + 0.2 * exact._roots(noise).float()).clamp(0, 1)

    return sampler


TASKS = ["denoise25", "sr4+n5", "inpaint-random50+n10", "deblur-motion+n5", "colorization+n5"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    ("make", "verdict"),
    [(honest, "fits"), (overfitting, "below"), (careless, "above")],
    ids=["honest", "overfitting", "careless"],
)
def test_the_verdict_tells_them_apart(name, make, verdict):
    evaluation = run(name, make)
    found = evaluation.record.noise_fit
    assert found.verdict == verdict, found
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(np.mean(found.per_image))
    low, high = found.band
    assert low < 1 < high < 1.1
    error = evaluation.record.validity["chi_squared_error"]
    assert list(evaluation.record.validity) == ["chi_squared_error"]
    assert not error.higher_is_better
    assert evaluation.scores["chi_squared"].shape == (9, 10)
    assert error.mean == pytest.approx(np.abs(evaluation.scores["chi_squared"] - 1).mean())
    # Against targets samples are scored as ever
    assert evaluation.record.target["psnr"].mean > 10


def test_without_noise_there_is_nothing_to_fit():
    record = run("sr4", lambda exact, problem: lambda y, gs: problem.linear.pinv(y).clamp(0, 1)
                 + 0 * exact.std * len(gs)).record  # fmt: skip
    assert record.noise_fit is None
    assert list(record.validity) == ["psnr"]


class TestChiSquared:
    def test_of_the_truth_is_that_of_scipy(self):
        fit = NoiseFit(0.1, torch.ones(3, 8, 8, dtype=torch.bool))
        noise = 0.1 * torch.randn(1, 500, 3, 8, 8, generator=generator(0))
        found = fit.chi_squared(noise, torch.zeros(1, 3, 8, 8))[0] * fit.n_measurements
        assert stats.kstest(found.numpy(), stats.chi2(192).cdf).pvalue > 0.001

    def test_leaves_out_what_was_not_measured(self):
        measured = torch.zeros(3, 4, 4, dtype=torch.bool)
        measured[:, :2] = True
        fit = NoiseFit(0.5, measured)
        seen, again = torch.zeros(3, 4, 4), torch.full((2, 3, 4, 4), 7.0)
        again[:, :, :2] = torch.tensor([0.5, 1.0])[:, None, None, None]
        assert fit.n_measurements == 24
        assert fit.chi_squared(again, seen).tolist() == pytest.approx([1.0, 4.0])

    def test_the_band_holds_the_truth_nineteen_times_in_twenty(self):
        fit = NoiseFit(0.2, torch.ones(1, 6, 6, dtype=torch.bool))
        draws = np.random.default_rng(0).chisquare(36, size=(2000, 5, 1)) / 36
        groups = list("abcde")
        outside = sum(fit.record(list(scores), groups).verdict != "fits" for scores in draws[:400])
        assert 6 <= outside <= 36  # 20 expected; further off with probability 0.001
