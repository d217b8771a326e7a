"""deepinv itself: physics that are the problem's, solvers that keep the contract and are right."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from adapted import CPU, against_truth, assert_contract, in_world, needs, problem_of

from invbench.adapters import deepinv_physics, deepinv_sampler
from invbench.errors import InvalidSamplerError
from invbench.problems import Noise
from invbench.seeding import generator

needs("deepinv")

import deepinv  # noqa: E402
from deepinv.optim import L2  # noqa: E402
from deepinv.sampling import (  # noqa: E402
    DDRM,
    DPS,
    DDPMSolver,
    DiffPIR,
    DiffusionSampler,
    MomentMatchingDataFidelity,
    PosteriorDiffusion,
    VariancePreservingDiffusion,
    sampling_builder,
)

NAMES = ["sr4+n5", "colorization", "inpaint-box+n5", "inpaint-random50+n5", "deblur-gaussian+n5"]
SR4 = problem_of("sr4+n5")


class Exact(deepinv.models.Denoiser):
    """A world's exact denoiser."""

    def __init__(self, problem):
        super().__init__()
        self.problem = problem

    def forward(self, x, sigma, **_):
        return self.problem.denoiser(x, torch.as_tensor(sigma).flatten().expand(len(x)))


def denoiser():
    torch.manual_seed(0)
    return deepinv.models.DRUNet(pretrained=None, nc=(8,) * 4, nb=1)


def chain(**options):
    step = {"step_size": 1e-4, "alpha": 1.0, "sigma": 0.1}
    prior = deepinv.optim.ScorePrior(denoiser())
    return sampling_builder(
        "ULA", L2(sigma=0.1), prior, params_algo=step, max_iter=20, thinning=1, **options
    )


def moment_matching(problem, steps=32):
    """Exact for Gaussian images, but for the steps."""
    return PosteriorDiffusion(
        MomentMatchingDataFidelity(cg_max_iter=8),
        Exact(problem),
        VariancePreservingDiffusion(alpha=1.0),
        DDPMSolver(timesteps=torch.linspace(1, 0.001, steps, dtype=torch.float64)),
    )


class TestPhysics:
    @pytest.mark.parametrize("name", NAMES)
    def test_it_is_the_problem_s(self, name):
        problem = problem_of(name)
        physics, linear = deepinv_physics(problem), problem.linear
        x = torch.rand(2, 3, 16, 16, generator=generator(0))
        y = linear(torch.rand(2, 3, 16, 16, generator=generator(1)))
        assert torch.equal(physics.A(x), linear(x))
        assert torch.equal(physics.A_adjoint(y), linear.adjoint(y))
        assert torch.equal(physics.A_dagger(y), linear.pinv(y))
        assert physics.adjointness_test(x) < 1e-5

    @pytest.mark.parametrize("name", NAMES)
    def test_its_decomposition_is_one_of_the_same_operator(self, name):
        problem = problem_of(name)
        physics = deepinv_physics(problem)
        assert isinstance(physics, deepinv.physics.DecomposablePhysics)
        x = torch.rand(2, 3, 16, 16, generator=generator(0))
        y = problem.linear(x)
        by_factors = deepinv.physics.DecomposablePhysics
        close = {"atol": 1e-5, "rtol": 1e-4}
        torch.testing.assert_close(by_factors.A(physics, x), y, **close)
        torch.testing.assert_close(
            by_factors.A_adjoint(physics, y), problem.linear.adjoint(y), **close
        )
        assert physics.mask.shape == (1, 768)

    def test_a_function_without_decomposition_is_linear_physics(self):
        from invbench.problems import linear_task

        problem = linear_task(lambda x: x[..., ::2, :], noise=Noise(0.1)).problem((16, 16))
        physics = deepinv_physics(problem)
        assert not isinstance(physics, deepinv.physics.DecomposablePhysics)
        z, y = torch.rand(2, 1, 3, 16, 16, generator=generator(0)), torch.rand(1, 3, 8, 16)
        torch.testing.assert_close(physics.A_dagger(y), problem.linear.pinv(y))
        near = physics.prox_l2(z[0], y, 1e4, tol=1e-6)
        torch.testing.assert_close(problem.linear(near), y, atol=1e-3, rtol=0)
        assert_contract(
            deepinv_sampler(DiffPIR(denoiser(), L2(), max_iter=3), problem, CPU), problem
        )

    def test_noise_is_the_problem_s_in_its_units(self):
        physics = deepinv_physics(SR4)
        assert float(physics.noise_model.sigma) == pytest.approx(5 / 255)
        x = torch.rand(64, 3, 16, 16, generator=generator(0))
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            noise = physics(x) - SR4.linear(x)
        assert float(noise.std()) == pytest.approx(5 / 255, rel=0.03)

    def test_without_noise_there_is_none(self):
        physics = deepinv_physics(problem_of("sr4"))
        assert isinstance(physics.noise_model, deepinv.physics.ZeroNoise)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DPS(denoiser(), num_steps=4),
        lambda: DPS(denoiser(), num_steps=4, rng=torch.Generator()),
        lambda: DiffPIR(denoiser(), L2(), max_iter=4),
        lambda: DDRM(denoiser(), sigmas=[1.0, 0.5, 0.1, 0.0]),
        chain,
    ],
    ids=["dps", "dps with a generator", "diffpir", "ddrm", "ula"],
)
def test_solvers_keep_the_contract(make):
    assert_contract(deepinv_sampler(make(), SR4, CPU), SR4)


def test_plug_and_play_without_randomness_says_so():
    dpir = deepinv.optim.DPIR(SR4.noise.std, denoiser())
    sampler = deepinv_sampler(dpir, SR4, CPU, stochastic="none")
    assert sampler.stochastic == "none"
    assert_contract(sampler, SR4, same=True)


class TestChain:
    def test_its_sample_is_its_last_state_not_its_mean(self):
        model, physics = chain(), deepinv_physics(SR4)
        y = SR4.linear(torch.rand(1, 3, 16, 16, generator=generator(0)))
        sample = deepinv_sampler(model, SR4, CPU, physics=physics)(y, [generator(1)])
        last = model.get_chain()[-1]["x"].clamp(0, 1)
        assert torch.equal(sample, last)
        assert not torch.allclose(sample, model(y, physics).clamp(0, 1), atol=1e-3)

    def test_one_that_keeps_no_state_is_refused(self):
        for model in (chain(history_size=False), DiffusionSampler(DPS(denoiser()))):
            with pytest.raises(InvalidSamplerError, match="keeps no state"):
                deepinv_sampler(model, SR4, CPU)


class TestTruth:
    """In a Gaussian world moment matching draws from the exact posterior, but for its steps."""

    def test_samples_are_those_of_the_posterior(self):
        problem, y = in_world()
        error, chi = against_truth(
            deepinv_sampler(moment_matching(problem), problem, CPU), problem, y
        )
        assert error < 0.5
        assert 0.5 < chi < 1.4

    @pytest.mark.parametrize(
        "mistake",
        [
            lambda p: {"noise": Noise(2 * p.noise.std)},
            lambda p: {"noise": Noise(p.noise.std / 2)},
        ],
        ids=["noise doubled", "noise halved"],
    )
    def test_noise_in_other_units_shows(self, mistake):
        problem, y = in_world()
        physics = deepinv_physics(replace(problem, **mistake(problem)))
        sampler = deepinv_sampler(moment_matching(problem), problem, CPU, physics=physics)
        _, chi = against_truth(sampler, problem, y)
        assert not 0.5 < chi < 1.4

    def test_an_observation_in_another_range_shows(self):
        problem, y = in_world()
        sampler = deepinv_sampler(moment_matching(problem), problem, CPU)
        error, _ = against_truth(lambda y, g: sampler(2 * y - 1, g), problem, y)
        assert error > 1
