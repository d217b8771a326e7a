"""BicycleGAN (Zhu et al., NIPS 2017): a code for each output, recoverable from it.

A U-Net generator G reads the observation A and a normal code z, at every level, and returns an
image: ``B = G(A, z)`` (`models.gan.UnetSampler`). Training joins two cycles: from target to code to
target, and from code to output to code (`training.bicyclegan`).
"""

from __future__ import annotations

from invbench.models.gan import UnetSampler, build_unet, configure_unet, rename_official
from invbench.models.method import Method

__all__ = ["METHOD", "rename_official"]

METHOD = Method(
    name="bicyclegan",
    family="gan",
    source="arXiv:1711.11586",
    configure=configure_unet,
    build=build_unet,
    sampler=UnetSampler,
    stem=lambda task, _: f"bicyclegan-{task}",
    rename_official=rename_official,
)
