"""Networks, schedulers and pipelines of diffusers (https://huggingface.co/docs/diffusers)."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from invbench.adapters.rows import AdaptedSampler, linear_of, require, signed, weights_digest
from invbench.errors import InvalidSamplerError
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from invbench.problems import Problem


def unet_sampler(
    unet: nn.Module,
    scheduler: Any,
    problem: Problem,
    device: torch.device,
    *,
    steps: int = 50,
    guidance: float = 1.0,
    network_input: Callable[[Tensor, Tensor], Tensor] = lambda images, _: images,
    **options: Any,
) -> AdaptedSampler:
    r"""Make a sampler of a UNet and a scheduler, led to the observation by DPS (Chung et al. 2023).

    .. math:: x_{t-1} - \zeta \nabla_{x_t} \lVert y - A \hat x_0(x_t) \rVert

    where :math:`x_{t-1}` is the scheduler's step. Batches are drawn at once if it takes a list of
    generators, else row by row.

    Args:
        unet: for images in [-1, 1], on the device; it is put into evaluation mode.
        scheduler: with guidance one that has ``pred_original_sample``, as DDPM, DDIM and Euler.
        problem: to be solved.
        device: of the observations.
        steps: of the scheduler.
        guidance: zeta; 0 for a network that is given the observation.
        network_input: maps images ``[N, 3, H, W]`` in [-1, 1] and observations ``[N, c, h, w]`` in
            [0, 1] to the network's input; the images alone by default.
        options: of the scheduler's ``step``, as ``eta=1.0`` of DDIM.

    Raises:
        UnsupportedProblemError: if there is guidance, and the problem has no linear twin.
        MissingPackageError: if diffusers is not installed.
    """
    linear = linear_of(problem, "guidance by DPS") if guidance else None
    require("diffusers")
    unet.eval()
    batches = "generator" in signature(scheduler.step).parameters

    def step(images: Tensor, time: Tensor, observation: Tensor, given: dict[str, Any]) -> Tensor:
        images = images.detach().requires_grad_(linear is not None)
        with torch.set_grad_enabled(linear is not None):
            scaled = scheduler.scale_model_input(images, time)
            predicted = unet(network_input(scaled, observation), time).sample
            stepped = scheduler.step(predicted, time, images, **given)
            if linear is None:
                return stepped.prev_sample  # type: ignore[no-any-return]
            missed = signed(observation, problem, linear) - linear(_clean(stepped, scheduler))
            distance = missed.flatten(1).norm(dim=1).sum()  # a row's gradient is its own
        (gradient,) = torch.autograd.grad(distance, images)
        return stepped.prev_sample.detach() - guidance * gradient  # type: ignore[no-any-return]

    def draw(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        scheduler.set_timesteps(steps, device=observation.device)
        given = options | ({"generator": list(generators)} if batches else {})
        images = randn(generators, (3, *problem.size), device=device)
        images *= scheduler.init_noise_sigma
        for time in scheduler.timesteps:
            images = step(images, time, observation, given)
        return (images + 1) / 2

    digest = weights_digest([unet])
    return AdaptedSampler(
        draw=draw, problem=problem, device=device, by_row=not batches, fingerprint=digest
    )


def pipeline_sampler(
    pipeline: Any,
    problem: Problem,
    device: torch.device,
    *,
    image: Callable[[Tensor], Tensor] = lambda observation: observation,
    **options: Any,
) -> AdaptedSampler:
    """Make a sampler of a pipeline that is given an image, as super-resolution or inpainting.

    Rows are drawn one by one, for some pipelines draw from the global generators, too.

    Args:
        pipeline: its images must be of the problem's size.
        problem: to be solved; it needs no linear twin.
        device: where the pipeline goes.
        image: maps an observation ``[1, c, h, w]`` in [0, 1] to the pipeline's ``image``. Most take
            [0, 1]; for `LDMSuperResolutionPipeline` give ``lambda y: 2 * y - 1``.
        options: of the pipeline's call, as ``num_inference_steps=50``.

    Raises:
        InvalidSamplerError: if the pipeline takes no image.
        MissingPackageError: if diffusers is not installed.
    """
    require("diffusers")
    if "image" not in signature(pipeline.__call__).parameters:
        raise InvalidSamplerError(
            f"{type(pipeline).__name__} takes no image, so it would not see the observation; "
            "hand its unet and scheduler to unet_sampler, which guides them"
        )
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)

    def draw(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        given = {"image": image(observation), "generator": list(generators), "output_type": "pt"}
        return pipeline(**given, **options).images  # type: ignore[no-any-return]

    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    return AdaptedSampler(
        draw=draw, problem=problem, device=device, fingerprint=weights_digest(parts)
    )


def _clean(stepped: Any, scheduler: Any) -> Tensor:
    found = getattr(stepped, "pred_original_sample", None)
    if found is None:
        raise InvalidSamplerError(
            f"{type(scheduler).__name__} does not tell the clean image, which guidance needs; "
            "take DDPMScheduler, DDIMScheduler or EulerDiscreteScheduler"
        )
    return found  # type: ignore[no-any-return]
