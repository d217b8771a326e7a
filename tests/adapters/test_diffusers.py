"""diffusers itself: its schedulers and pipelines keep the contract, and guidance guides."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from adapted import CPU, against_truth, assert_contract, in_world, needs, problem_of
from torch import nn

from invbench.adapters import diffusers as adapter
from invbench.adapters import pipeline_sampler, unet_sampler
from invbench.errors import InvalidSamplerError

needs("diffusers", "transformers")

from diffusers import (  # noqa: E402
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LDMSuperResolutionPipeline,
    UNet2DModel,
    VQModel,
)

# Its schedulers read NumPy's arrays as NumPy 1 did.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SR4 = problem_of("sr4+n5")
BLOCKS = {
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D",) * 2,
    "up_block_types": ("UpBlock2D",) * 2,
}


def unet(**channels):
    torch.manual_seed(0)
    return UNet2DModel(**BLOCKS, **channels)


class Exact(nn.Module):
    """A world's exact denoiser as a predictor of noise."""

    def __init__(self, problem, scheduler):
        super().__init__()
        self.problem, self.alphas = problem, scheduler.alphas_cumprod

    def forward(self, images, time):
        a = self.alphas[time]
        std = ((1 - a) / a).sqrt()
        clean = 2 * self.problem.denoiser((images / a.sqrt() + 1) / 2, std / 2) - 1
        return SimpleNamespace(sample=(images / a.sqrt() - clean) / std)


@pytest.mark.parametrize(
    ("scheduler", "by_row"),
    [
        (DDPMScheduler, False),
        (DDIMScheduler, False),
        (EulerDiscreteScheduler, False),
        (EulerAncestralDiscreteScheduler, False),
        (HeunDiscreteScheduler, True),
    ],
    ids=["ddpm", "ddim", "euler", "euler ancestral", "heun"],
)
def test_guided_schedulers_keep_the_contract(scheduler, by_row):
    sampler = unet_sampler(unet(), scheduler(), SR4, CPU, steps=4)
    assert sampler.by_row == by_row
    assert_contract(sampler, SR4)


def test_options_reach_the_scheduler():
    y, samples = torch.full((1, 3, 4, 4), 0.5), []
    for eta in (0.0, 1.0):
        sampler = unet_sampler(unet(), DDIMScheduler(), SR4, CPU, steps=4, eta=eta)
        samples.append(sampler(y, [torch.Generator().manual_seed(0)]))
    assert not torch.equal(*samples)


def test_a_network_that_is_given_the_observation_runs_on_jpeg():
    jpeg = problem_of("jpeg5")
    sampler = unet_sampler(
        unet(in_channels=6, out_channels=3),
        DPMSolverMultistepScheduler(),
        jpeg,
        CPU,
        steps=3,
        guidance=0,
        network_input=lambda images, y: torch.cat([images, 2 * y - 1], dim=1),
    )
    assert_contract(sampler, jpeg)


def test_a_scheduler_that_hides_its_prediction_is_named():
    sampler = unet_sampler(unet(), DPMSolverMultistepScheduler(), SR4, CPU, steps=3)
    with pytest.raises(InvalidSamplerError, match="DPMSolverMultistepScheduler does not tell"):
        sampler(torch.zeros(1, 3, 4, 4), [torch.Generator()])


class TestPipelines:
    @pytest.fixture
    def pipeline(self):
        network = unet(in_channels=6, out_channels=3)
        vqvae = VQModel(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(8,) * 3,
            norm_num_groups=4,
        )
        return LDMSuperResolutionPipeline(vqvae, network, DDIMScheduler())

    @pytest.mark.parametrize("eta", [0.0, 1.0])  # with 1 it draws from the global generator
    def test_super_resolution_keeps_the_contract(self, pipeline, eta):
        options = {"image": lambda y: 2 * y - 1, "num_inference_steps": 3, "eta": eta}
        assert_contract(pipeline_sampler(pipeline, SR4, CPU, **options), SR4)

    def test_one_that_sees_no_image_is_refused(self):
        with pytest.raises(InvalidSamplerError, match="DDPMPipeline takes no image"):
            pipeline_sampler(DDPMPipeline(unet(), DDPMScheduler()), SR4, CPU)


class TestTruth:
    """DPS is no exact sampler, but with the exact denoiser its mean is near the truth."""

    @staticmethod
    def error(problem, observation, guidance=2.0):
        scheduler = DDPMScheduler(clip_sample=False)
        network = Exact(problem, scheduler)
        sampler = unet_sampler(network, scheduler, problem, CPU, steps=50, guidance=guidance)
        return against_truth(sampler, problem, observation)[0]

    def test_guidance_leads_to_the_posterior(self):
        problem, y = in_world()
        assert self.error(problem, y) < 0.5
        assert self.error(problem, y, guidance=0.0) > 1.5  # the law of all images

    @pytest.mark.parametrize(
        "mistake", [lambda y, *_: y, lambda y, *_: 2 * y], ids=["not converted", "scaled"]
    )
    def test_an_observation_in_another_range_shows(self, mistake, monkeypatch):
        problem, y = in_world()
        monkeypatch.setattr(adapter, "signed", mistake)
        assert self.error(problem, y) > 1.5
