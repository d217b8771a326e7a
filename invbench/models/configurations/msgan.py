"""MSGAN (Mao et al., CVPR 2019): pix2pix with a loss that drives apart what two codes give.

The generator is BicycleGAN's, ``B = G(A, z)`` (`models.gan.UnetSampler`); there is no encoder.
Training makes the distance of two outputs large, compared to the distance of their codes
(`training.msgan`).
"""

from __future__ import annotations

from invbench.models.gan import UnetSampler, build_unet, configure_unet, rename_official
from invbench.models.method import Method

__all__ = ["METHOD", "rename_official"]

METHOD = Method(
    name="msgan",
    family="gan",
    source="arXiv:1903.05628",
    configure=configure_unet,
    build=build_unet,
    sampler=UnetSampler,
    stem=lambda task, _: f"msgan-{task}",
    rename_official=rename_official,
)
