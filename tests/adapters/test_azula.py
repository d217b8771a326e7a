"""azula itself: its guided samplers keep the contract and draw from known posteriors."""

from __future__ import annotations

import pytest
import torch
from adapted import CPU, against_truth, assert_contract, in_world, needs, problem_of

from invbench.adapters import azula, azula_sampler

needs("azula")

from azula.denoise import Denoiser, DiracPosterior, KarrasDenoiser  # noqa: E402
from azula.guidance import (  # noqa: E402
    DiffPIRDenoiser,
    DPSSampler,
    MMPSDenoiser,
    PGDMSampler,
)
from azula.linalg.covariance import IsotropicCovariance  # noqa: E402
from azula.nn.unet import UNet  # noqa: E402
from azula.noise import VPSchedule  # noqa: E402
from azula.sample import DDIMSampler, DDPMSampler  # noqa: E402

# Its layers are compiled by what torch has meanwhile replaced.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")

SR4 = problem_of("sr4+n5")


class Exact(Denoiser):
    """A world's exact denoiser, in azula's range."""

    def __init__(self, problem):
        super().__init__()
        self.problem, self.schedule = problem, VPSchedule()

    def forward(self, x_t, t, **_):
        alpha, sigma = self.schedule(t)
        return DiracPosterior(
            2 * self.problem.denoiser((x_t / alpha + 1) / 2, sigma / alpha / 2) - 1
        )


def network():
    torch.manual_seed(0)
    return KarrasDenoiser(UNet(3, 3, hid_channels=(8, 8), hid_blocks=(1, 1)), VPSchedule())


def moment_matching(problem, factor=1.0):
    """Exact for Gaussian images, but for the steps."""

    def guide(net, y, a, std):
        variance = IsotropicCovariance(torch.tensor((factor * std) ** 2))
        return DDPMSampler(MMPSDenoiser(net, y, a, variance, iterations=4), steps=32)

    return azula_sampler(Exact(problem), guide, problem, CPU)


@pytest.mark.parametrize(
    "guide",
    [
        lambda net, y, a, std: DPSSampler(net, y, a, steps=4),  # noqa: ARG005
        lambda net, y, a, std: DDIMSampler(DiffPIRDenoiser(net, y, a, std**2), steps=4),
        lambda net, y, a, std: PGDMSampler(net, y, a, a.pinv, steps=4),  # noqa: ARG005
    ],
    ids=["dps", "diffpir", "pgdm"],
)
def test_solvers_keep_the_contract(guide):
    assert_contract(azula_sampler(network(), guide, SR4, CPU), SR4)


class TestTruth:
    def test_samples_are_those_of_the_posterior(self):
        problem, y = in_world()
        error, chi = against_truth(moment_matching(problem), problem, y)
        assert error < 0.5
        assert 0.5 < chi < 1.4

    @pytest.mark.parametrize(
        "mistake",
        [
            lambda y, *_: y,
            lambda y, *_: 2 * y,
            lambda y, *_: y - 0.5,
        ],
        ids=["not converted", "scaled", "shifted"],
    )
    def test_an_observation_in_another_range_shows(self, mistake, monkeypatch):
        problem, y = in_world()
        monkeypatch.setattr(azula, "signed", mistake)
        error, _ = against_truth(moment_matching(problem), problem, y)
        assert error > 1

    @pytest.mark.parametrize("factor", [0.5, 2.0])
    def test_noise_in_other_units_shows(self, factor):
        problem, y = in_world()
        _, chi = against_truth(moment_matching(problem, factor), problem, y)
        assert not 0.5 < chi < 1.4
