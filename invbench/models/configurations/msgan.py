"""MSGAN (Mao et al., CVPR 2019): pix2pix with a regularizer that drives apart what codes give.

BicycleGAN's generator without an encoder; training maximizes the distance of two outputs relative
to the distance of their codes (`training.msgan`).
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
