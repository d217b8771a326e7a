"""DivCo (Liu et al., CVPR 2021): BicycleGAN with a contrastive loss on codes.

The generator is BicycleGAN's, ``B = G(A, z)`` (`models.gan.UnetSampler`). Training compares
encodings of outputs: those of nearby codes must agree more than those of distant codes
(`training.divco`).
"""

from __future__ import annotations

from invbench.models.gan import UnetSampler, build_unet, configure_unet, rename_official
from invbench.models.method import Method

__all__ = ["METHOD", "rename_official"]

METHOD = Method(
    name="divco",
    family="gan",
    source="arXiv:2103.07893",
    configure=configure_unet,
    build=build_unet,
    sampler=UnetSampler,
    stem=lambda task, _: f"divco-{task}",
    rename_official=rename_official,
)
