"""Our part of the adapters, with stand-ins in the place of the libraries."""

from __future__ import annotations

import importlib.util
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from adapted import CPU, assert_contract, problem_of
from torch import nn

from invbench.adapters import (
    azula_sampler,
    deepinv_physics,
    deepinv_sampler,
    pipeline_sampler,
    rows,
    unet_sampler,
)
from invbench.adapters.azula import FlatLinear
from invbench.adapters.rows import AdaptedSampler, linear_of, require, signed, weights_digest
from invbench.errors import (
    InvalidSamplerError,
    InvalidSamplesError,
    MissingPackageError,
    UnsupportedProblemError,
)
from invbench.seeding import generator

pytestmark = pytest.mark.slow

SR4, JPEG = problem_of("sr4+n5"), problem_of("jpeg5")


@pytest.fixture
def libraries(monkeypatch):
    """Pretend that all libraries are installed."""
    monkeypatch.setattr(rows, "find_spec", lambda name: name)


class Diffusion(nn.Module):
    """Draws around the pseudo-inverse as deepinv's solvers do: from the global generators."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.1))
        self.drop = nn.Dropout(0.5)

    def forward(self, y, physics):
        images = physics.A_dagger(y)
        noise = torch.rand_like(images) + np.random.rand() + random.random()  # noqa: NPY002, S311
        return self.drop(images + self.weight * noise)


class Denoiser(nn.Module):
    schedule = None

    def forward(self, x_t, t):
        raise NotImplementedError


class Guided:
    """As azula's samplers: images in [-1, 1], noise from the global generator."""

    def __init__(self, denoiser, y, a, std):
        self.denoiser, self.y, self.a, self.std = denoiser, y, a, std

    def init(self, shape, device):
        return torch.randn(shape, device=device)

    def __call__(self, start):
        unseen = start - self.a.pinv(self.a(start))
        return self.a.pinv(self.y) + 0.01 * unseen


class Scheduler:
    """As diffusers' schedulers, which say what they predict; each step adds noise."""

    init_noise_sigma = 1.0

    def set_timesteps(self, steps, device):
        self.timesteps = torch.arange(steps - 1, -1, -1, device=device)

    def scale_model_input(self, images, _):
        return images

    def step(self, predicted, time, images, generator):
        noise = torch.cat([torch.randn(1, *images.shape[1:], generator=g) for g in generator])
        moved = 0.5 * images + 0.5 * predicted + 0.01 * time * noise
        return SimpleNamespace(prev_sample=moved, pred_original_sample=predicted)


class Global(Scheduler):
    """A scheduler that takes no generators."""

    def step(self, predicted, time, images):
        noise = [torch.default_generator] * len(images)
        return super().step(predicted, time, images, noise)


class Unet(nn.Module):
    def forward(self, images, _):
        return SimpleNamespace(sample=images[:, :3].tanh())


class Pipeline:
    """Enlarges what it is given, with noise from both its generator and the global one."""

    components = {"unet": nn.Linear(1, 1), "scheduler": object()}  # noqa: RUF012

    def to(self, device):
        self.device = device

    def set_progress_bar_config(self, **_):
        pass

    def __call__(self, image, generator, output_type, scale=0.1):
        assert output_type == "pt"
        large = nn.functional.interpolate(image, scale_factor=4)
        noise = torch.randn(large.shape, generator=generator[0]) + torch.randn(large.shape)
        return SimpleNamespace(images=large + scale * noise)


class TestEachRow:
    def test_what_draws_from_global_generators_keeps_the_contract(self):
        physics = SimpleNamespace(A_dagger=SR4.linear.pinv)
        model = Diffusion().eval()
        sampler = AdaptedSampler(
            draw=lambda y, _: model(y, physics), problem=SR4, device=CPU, by_row=True
        )
        assert_contract(sampler, SR4)
        with pytest.raises(AssertionError):
            assert_contract(replace(sampler, by_row=False), SR4)

    def test_generators_are_restored_when_a_solver_fails(self):
        def fail(*_):
            torch.rand(1)
            raise ZeroDivisionError

        y, before = torch.zeros(1, 3, 4, 4), torch.get_rng_state()
        with pytest.raises(ZeroDivisionError):
            AdaptedSampler(draw=fail, problem=SR4, device=CPU)(y, [generator(0)])
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize(
        ("found", "seen"),
        [(torch.rand(1, 3, 8, 8), r"\(1, 3, 8, 8\)"), ((torch.rand(1), 2), "tuple")],
    )
    def test_what_is_no_image_is_named(self, found, seen):
        sampler = AdaptedSampler(draw=lambda *_: found, problem=SR4, device=CPU)
        with pytest.raises(InvalidSamplesError, match=f"returned {seen}, not images"):
            sampler(torch.rand(1, 3, 4, 4), [generator(0)])

    def test_nan_is_not_hidden(self):
        bad = torch.full((1, 3, 16, 16), torch.nan)
        sampler = AdaptedSampler(draw=lambda *_: bad, problem=SR4, device=CPU)
        assert sampler(torch.rand(1, 3, 4, 4), [generator(0)]).isnan().all()


@pytest.mark.parametrize("name", ["sr4+n5", "colorization", "inpaint-box+n5", "deblur-motion"])
def test_signed_observations_are_those_of_signed_images(name):
    problem = problem_of(name)
    x = torch.rand(2, 3, 16, 16, generator=generator(0))
    y = signed(problem.linear(x), problem, problem.linear)
    torch.testing.assert_close(y, problem.linear(2 * x - 1), atol=1e-5, rtol=0)


def test_a_digest_is_that_of_names_shapes_and_values():
    one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    other.load_state_dict(one.state_dict())
    assert weights_digest([one]) == weights_digest([other])
    half = weights_digest([nn.Linear(2, 3).bfloat16()])  # which NumPy does not know
    other.bias.data[0] += 1
    assert len({weights_digest([one]), weights_digest([other]), half}) == 3


@pytest.mark.usefixtures("libraries")
class TestDiffusers:
    @pytest.mark.parametrize(("scheduler", "by_row"), [(Scheduler(), False), (Global(), True)])
    def test_a_guided_network_keeps_the_contract(self, scheduler, by_row):
        sampler = unet_sampler(Unet(), scheduler, SR4, CPU, steps=4, guidance=0.1)
        assert sampler.by_row == by_row
        assert_contract(sampler, SR4)

    def test_guidance_leads_to_the_observation(self):
        y = SR4.linear(torch.full((1, 3, 16, 16), 0.8))
        missed = []
        for zeta in (0.0, 5.0):
            sampler = unet_sampler(Unet(), Scheduler(), SR4, CPU, steps=20, guidance=zeta)
            sample = sampler(y, [generator(0)])
            missed.append(float((SR4.linear(sample) - y).square().mean().sqrt()))
        assert missed[1] < missed[0] / 3

    @pytest.mark.parametrize("name", ["sr4+n5", "inpaint-box+n5"])
    def test_a_step_of_guidance_is_that_of_the_formula_row_by_row(self, name):
        """Of |y - A x / 4| the gradient is -A^T (y - A x / 4) / (4 |y - A x / 4|)."""

        class Quarter(nn.Module):
            def forward(self, images, _):
                return SimpleNamespace(sample=images / 4)

        problem, zeta = problem_of(name), 2.0
        y = problem.linear(torch.rand(2, 3, 16, 16, generator=generator(9)))
        sampler = unet_sampler(Quarter(), Scheduler(), problem, CPU, steps=1, guidance=zeta)
        found = sampler(y, [generator(0), generator(1)])
        x = torch.cat([torch.randn(1, 3, 16, 16, generator=generator(k)) for k in range(2)])
        missed = problem.linear(2 * torch.rand(2, 3, 16, 16, generator=generator(9)) - 1 - x / 4)
        sizes = missed.flatten(1).norm(dim=1)[:, None, None, None]
        moved = x * 5 / 8 + zeta * problem.linear.adjoint(missed / sizes) / 4
        torch.testing.assert_close(found, ((moved + 1) / 2).clamp(0, 1), atol=1e-6, rtol=0)

    def test_a_network_may_be_given_the_observation_even_of_jpeg(self):
        def join(images, y):
            assert y.min() >= 0
            return torch.cat([images, 2 * y - 1], dim=1)

        sampler = unet_sampler(
            Unet(), Scheduler(), JPEG, CPU, steps=2, guidance=0, network_input=join
        )
        assert_contract(sampler, JPEG)

    def test_a_scheduler_that_hides_its_prediction_is_named(self):
        class Silent(Scheduler):
            def step(self, predicted, time, images, generator):
                found = super().step(predicted, time, images, generator)
                return SimpleNamespace(prev_sample=found.prev_sample)

        sampler = unet_sampler(Unet(), Silent(), SR4, CPU, steps=2)
        with pytest.raises(InvalidSamplerError, match="Silent does not tell the clean image"):
            sampler(torch.rand(1, 3, 4, 4), [generator(0)])

    def test_a_pipeline_keeps_the_contract(self):
        assert_contract(pipeline_sampler(Pipeline(), SR4, CPU, scale=0.2), SR4)

    def test_a_pipeline_is_given_the_observation_as_it_takes_it(self):
        y = torch.rand(1, 3, 4, 4, generator=generator(0))
        sampler = pipeline_sampler(Pipeline(), SR4, CPU, image=lambda y: 1 - y, scale=0)
        sample = sampler(y, [generator(0)])
        torch.testing.assert_close(sample, nn.functional.interpolate(1 - y, scale_factor=4))

    def test_a_pipeline_that_sees_no_image_is_refused(self):
        class Blind(Pipeline):
            def __call__(self, batch_size, generator):
                pass

        with pytest.raises(InvalidSamplerError, match="Blind takes no image"):
            pipeline_sampler(Blind(), SR4, CPU)


@pytest.mark.usefixtures("libraries")
class TestAzula:
    def test_a_guided_sampler_keeps_the_contract(self):
        assert_contract(azula_sampler(Denoiser(), Guided, SR4, CPU), SR4)

    @pytest.mark.parametrize("name", ["sr4+n5", "inpaint-box+n5"])
    def test_it_works_in_its_own_range(self, name):
        problem, seen = problem_of(name), []

        def guide(denoiser, y, a, std):
            seen.append((tuple(y.shape), std))
            return Guided(denoiser, y, a, std)

        y = problem.linear(0.25 + 0.5 * torch.rand(1, 3, 16, 16, generator=generator(0)))
        sample = azula_sampler(Denoiser(), guide, problem, CPU)(y, [generator(1)])
        torch.testing.assert_close(problem.linear(sample), y, atol=1e-2, rtol=0)
        assert sample.min() > 0.1  # where nothing was seen it is gray, the middle of the range
        assert seen == [((1, y.numel()), pytest.approx(10 / 255))]

    @pytest.mark.parametrize("name", ["sr4+n5", "colorization", "deblur-motion"])
    def test_vectors_are_seen_as_their_images_are(self, name):
        problem = problem_of(name)
        linear = problem.linear
        flat = FlatLinear(linear, (3, 16, 16), problem.observation_shape)
        x = torch.rand(2, 3, 16, 16, generator=generator(0))
        y = linear(x)
        assert torch.equal(flat(x.flatten(1)), y.flatten(1))
        assert torch.equal(flat.adjoint(y.flatten(1)), linear.adjoint(y).flatten(1))
        assert torch.equal(flat.pinv(y.flatten(1)), linear.pinv(y).flatten(1))

    def test_what_is_no_sampler_is_refused(self):
        sampler = azula_sampler(Denoiser(), lambda *_: nn.Linear(1, 1), SR4, CPU)
        with pytest.raises(InvalidSamplerError, match="returned a Linear; return a sampler"):
            sampler(torch.zeros(1, 3, 4, 4), [generator(0)])


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize(
    "adapt",
    [
        lambda: deepinv_physics(JPEG),
        lambda: deepinv_sampler(Diffusion(), JPEG, CPU),
        lambda: azula_sampler(Denoiser(), Guided, JPEG, CPU),
        lambda: unet_sampler(Unet(), Scheduler(), JPEG, CPU),
        lambda: linear_of(JPEG, "mine"),
    ],
    ids=["physics", "deepinv", "azula", "unet", "own"],
)
def test_jpeg_is_declined_in_words(adapt):
    with pytest.raises(UnsupportedProblemError, match="jpeg5 has no linear twin"):
        adapt()


@pytest.mark.parametrize(
    ("library", "adapt"),
    [
        ("deepinv", lambda: deepinv_physics(SR4)),
        ("azula", lambda: azula_sampler(Denoiser(), Guided, SR4, CPU)),
        ("diffusers", lambda: unet_sampler(Unet(), Scheduler(), SR4, CPU)),
        ("diffusers", lambda: pipeline_sampler(Pipeline(), SR4, CPU)),
    ],
    ids=["deepinv", "azula", "unet", "pipeline"],
)
def test_a_library_that_is_missing_is_named(library, adapt, monkeypatch):
    monkeypatch.setattr(rows, "find_spec", lambda name: None if name == library else name)
    with pytest.raises(MissingPackageError, match=rf"pip install 'invbench\[{library}\]'"):
        adapt()


def test_what_is_installed_is_found():
    require("torch")
    assert importlib.util.find_spec("torch")
