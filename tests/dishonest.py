"""Samplers that look better than they are, one for each way of doing so, beside an honest one.

Each is in the form that `--invbench-sampler` takes; `SAMPLERS` names all of them.
"""

from __future__ import annotations

import time
from functools import cache

import torch

from invbench.data.photos import photos
from invbench.images import from_uint8
from invbench.problems import PROFILES
from invbench.seeding import randn

PROFILE = PROFILES["tiny"]
WORK_S = 0.025  # what a sample costs those samplers that pretend to be fast
SPREAD = 0.1


def work(seconds):
    """Do something that takes time."""
    time.sleep(seconds)


class Base:
    """Samples that are valid: the observation, enlarged if need be, in the target's size."""

    def __init__(self, problem, device):
        self.problem, self.device, self.size = problem, device, problem.size[0]
        self.task = problem.name

    def valid(self, observation):
        if self.task == "sr16":
            return self.problem.linear.pinv(observation.double()).float().clamp(0, 1)
        return observation.expand(-1, 3, -1, -1)

    def hidden(self, change):
        """Take from a change of the image what reobserving it would show."""
        if self.task == "sr16":
            linear = self.problem.linear
            seen = linear.pinv(linear(change.double()))
            return change - seen.float()
        if self.task == "colorization":
            luma = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
            return change - (luma * change).sum(1, keepdim=True)
        return 0.2 * change  # most of it is lost in quantization

    def noise(self, generators):
        return SPREAD * randn(generators, (3, self.size, self.size), device=self.device)

    def __call__(self, observation, generators):
        raise NotImplementedError


class Honest(Base):
    def __call__(self, observation, generators):
        return (self.valid(observation) + self.noise(generators)).clamp(0, 1)


class Upsampled(Base):
    def __call__(self, observation, generators):  # noqa: ARG002
        return self.valid(observation)


class Leaked(Base):
    """Knows the photographs of the suite, and returns the target."""

    @cache  # noqa: B019
    def targets(self):
        images = torch.stack([from_uint8(p.pixels) for p in photos(self.size, PROFILE.n_images)])
        return images, self.problem.operator(images)

    def __call__(self, observation, generators):  # noqa: ARG002
        images, seen = self.targets()
        nearest = [(seen - row).abs().sum((1, 2, 3)).argmin() for row in observation]
        return images[torch.stack(nearest)]


class OneNoisy(Base):
    def __call__(self, observation, generators):  # noqa: ARG002
        noise = self.noise([torch.Generator().manual_seed(0)])
        return (self.valid(observation) + noise).clamp(0, 1)


class RandomColours(Base):
    """One colour a sample, over the whole image or, where that would show, in fine stripes."""

    def __call__(self, observation, generators):
        tint = 2 * SPREAD * randn(generators, (3, 1, 1), device=self.device)
        stripes = torch.ones(self.size, self.size)
        if self.task == "sr16":
            stripes[:, ::2] = -1
        return (self.valid(observation) + self.hidden(tint * stripes)).clamp(0, 1)


class ByRow(Base):
    def __call__(self, observation, generators):
        rows = [torch.Generator().manual_seed(row) for row in range(len(generators))]
        return (self.valid(observation) + self.noise(rows)).clamp(0, 1)


class GlobalGenerator(Base):
    def __call__(self, observation, generators):  # noqa: ARG002
        images = self.valid(observation)
        return (images + SPREAD * torch.randn(len(images), 3, self.size, self.size)).clamp(0, 1)


class BatchDependent(Base):
    """Spreads the samples of a batch evenly around its mean."""

    def __call__(self, observation, generators):
        noise = self.noise(generators)
        return (self.valid(observation) + noise - noise.mean(0)).clamp(0, 1)


class NullSpaceNoise(Base):
    def __call__(self, observation, generators):
        return (self.valid(observation) + 2 * self.hidden(self.noise(generators))).clamp(0, 1)


class WarmUp(Honest):
    """Does the work of all rounds in the first call."""

    ready = False

    def __call__(self, observation, generators):
        if not self.ready:
            work(WORK_S * PROFILE.n_images * len(generators))
            self.ready = True
        return super().__call__(observation, generators)


class Memoiser(Honest):
    """Keeps every sample by its observation and seed."""

    def __init__(self, problem, device):
        super().__init__(problem, device)
        self.kept = {}

    def __call__(self, observation, generators):
        images = []
        for row, generator in zip(observation, generators, strict=True):
            key = row.numpy().tobytes(), generator.initial_seed()
            if key not in self.kept:
                work(WORK_S)
                self.kept[key] = super().__call__(row[None], [generator])[0]
            images.append(self.kept[key])
        return torch.stack(images)


class HalfDistinct(Base):
    """Gives every sample twice."""

    def __call__(self, observation, generators):
        twice = [generators[row - row % 2].clone_state() for row in range(len(generators))]
        return (self.valid(observation) + self.noise(twice)).clamp(0, 1)


SAMPLERS = {
    "upsampled": Upsampled,
    "leaked": Leaked,
    "one_noisy": OneNoisy,
    "random_colours": RandomColours,
    "by_row": ByRow,
    "global_generator": GlobalGenerator,
    "batch_dependent": BatchDependent,
    "null_space_noise": NullSpaceNoise,
    "warm_up": WarmUp,
    "memoiser": Memoiser,
    "half_distinct": HalfDistinct,
    "honest": Honest,
}


def __getattr__(name):
    """Give each sampler as a factory of its own name."""
    try:
        return SAMPLERS[name]
    except KeyError:
        raise AttributeError(name) from None
