"""MoNCE (Zhan et al., CVPR 2022): patches of output and target contrasted; see `models.monce`."""

from __future__ import annotations

from invbench.models.method import Method
from invbench.models.monce import MonceSampler, build_monce, configure_monce, rename_official

__all__ = ["METHOD", "rename_official"]

METHOD = Method(
    name="monce",
    family="gan",
    source="arXiv:2203.09333",
    configure=configure_monce,
    build=build_monce,
    sampler=MonceSampler,
    stem=lambda task, _: f"monce-{task}",
    rename_official=rename_official,
    stochastic=lambda config: config.stochastic,
)
