"""Samplers for tests, in the form that `--invbench-sampler` takes."""

from __future__ import annotations

import torch

from invbench.images import from_uint8, to_uint8
from invbench.operators import resize_bicubic
from invbench.seeding import randn


class Blurry:
    """The observation enlarged to the target's size, with a little noise."""

    nfe = 1

    def __init__(self, size, noise=0.05):
        self.size, self.noise = size, noise

    def __call__(self, observation, generators):
        pixels = to_uint8(observation)
        if pixels.shape[-1] != self.size:
            pixels = resize_bicubic(pixels, self.size, self.size)
        images = from_uint8(pixels).expand(-1, 3, -1, -1)
        return (images + self.noise * randn(generators, images.shape[1:])).clamp(0, 1)


def blurry(problem, device):  # noqa: ARG001 the suite names both
    return Blurry(problem.size[0])


def broken(problem, device):
    def sampler(observation, generators):
        samples = blurry(problem, device)(observation, generators)
        samples[-1, 0, 0, 0] = torch.nan
        return samples

    return sampler
