"""Samplers and tasks with one defect each, beside honest ones of different make.

Each is in the form that `invbench check` takes. `SAMPLERS` and `TASKS` say which properties it
finds broken; `HONEST` has none.
"""

from __future__ import annotations

import random
from functools import partial
from types import SimpleNamespace

import dishonest
import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from invbench.models import reference_sampler
from invbench.operators import LinearFunction, Unrounded
from invbench.problems import Noise, Task, linear_task
from invbench.seeding import randn


class Honest(dishonest.Honest):
    """Valid samples of any problem that has a linear twin, and of JPEG's, with noise."""

    def valid(self, observation):
        if self.problem.linear is None:
            return observation.expand(-1, 3, -1, -1)
        return self.problem.linear.pinv(observation.double()).float().clamp(0, 1)


def changed(change, base=Honest):
    """Make a factory whose sampler hands on what another one draws, changed in some way."""

    def load(problem, device):
        sampler = base(problem, device)
        return lambda observation, generators: change(sampler(observation, generators))

    return load


def around(before=None, after=None, base=Honest):
    """Make a factory whose sampler does something with its arguments before or after it samples."""

    def load(problem, device):
        sampler = base(problem, device)

        def flawed(observation, generators):
            if before:
                before(observation, generators)
            images = sampler(observation, generators)
            if after:
                after(observation, generators)
            return images

        return flawed

    return load


def seeded_by(seeds, base=Honest):
    """Make a factory whose sampler takes its noise from other generators than it is given."""

    def load(problem, device):
        sampler = base(problem, device)

        def flawed(observation, generators):
            own = [torch.Generator().manual_seed(seed) for seed in seeds(generators)]
            return sampler(observation, own)

        return flawed

    return load


def numpy_noise(images):
    noise = np.random.standard_normal(images.shape)  # noqa: NPY002  the defect
    return (images + 0.1 * torch.from_numpy(noise).float()).clamp(0, 1)


def random_shift(images):
    return (images + 0.2 * random.uniform(-1, 1)).clamp(0, 1)  # noqa: S311  the defect


def advance(*_):
    torch.rand(1)


def forked(images):
    """Read torch's global generator, and set it back."""
    with torch.random.fork_rng(devices=[]):
        noise = torch.randn(images.shape)
    return (images + 0.1 * noise).clamp(0, 1)


def with_nan(images):
    images[-1, 0, 0, 0] = torch.nan
    return images


def divided_by_zero(images):
    """Divide by what may be 0."""
    bright = images.mean((1, 2, 3), keepdim=True) > 0.24
    return images / bright.float().where(bright, torch.nan)


class BatchNorm:
    """A network that nobody put into evaluation mode."""

    def __init__(self, problem, device):
        self.sampler, self.norm = Honest(problem, device), nn.BatchNorm2d(3, affine=False)

    def __call__(self, observation, generators):
        return self.norm(self.sampler(observation, generators)).sigmoid()


class OwnGenerator(dishonest.Base):
    """Seeds a generator once, and goes on with it."""

    def __init__(self, problem, device):
        super().__init__(problem, device)
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, observation, generators):
        own = [self.generator for _ in generators]
        return (self.valid(observation) + self.noise(own)).clamp(0, 1)


class FirstGenerator(dishonest.Base):
    """Draws the noise of a batch at once."""

    def __call__(self, observation, generators):
        shape = (len(generators), 3, self.size, self.size)
        noise = torch.randn(shape, generator=generators[0])
        return (self.valid(observation) + 0.1 * noise).clamp(0, 1)


class Leaking:
    """Keeps the graph of every call."""

    def __init__(self, problem, device):
        self.sampler, self.losses = Honest(problem, device), []
        self.weight = nn.Parameter(torch.ones(1))

    def __call__(self, observation, generators):
        images = self.sampler(observation, generators)
        with torch.enable_grad():
            self.losses.append((self.weight * images).square().mean())
        return images


class Remembering(dishonest.ByRow):
    """Decides by row number, and remembers by seed what it decided."""

    def __init__(self, problem, device):
        super().__init__(problem, device)
        self.kept = {}

    def __call__(self, observation, generators):
        drawn = super().__call__(observation, generators)
        keys = [generator.initial_seed() for generator in generators]
        kept = [self.kept.setdefault(k, x) for k, x in zip(keys, drawn, strict=True)]
        return torch.stack(kept)


def stubborn(observation, generators):  # noqa: ARG001
    if len(generators) != 4:
        raise RuntimeError("compiled for 4 rows")


def late(observation, generators):  # noqa: ARG001
    if any(generator.initial_seed() % 16 == 3 for generator in generators):
        raise ZeroDivisionError("no such seed")


def raising(*_):
    raise ZeroDivisionError("in the second block")


def settings(change):
    return around(after=lambda *_: change())


def failing_factory(problem, device):  # noqa: ARG001
    raise FileNotFoundError("weights.pt")


def old_factory(task, device):
    return Honest(SimpleNamespace(name=task, size=(64, 64)), device)


def no_sampler(problem, device):  # noqa: ARG001
    return torch.zeros(1)


def loads_double(problem, device):
    torch.set_default_dtype(torch.float64)
    return Honest(problem, device)


# Name -> factory, the properties that are broken
SAMPLERS = {
    "global_torch": (dishonest.GlobalGenerator, ["global generators"]),
    "global_numpy": (changed(numpy_noise), ["global generators"]),
    "global_random": (changed(random_shift), ["global generators"]),
    "advances_torch": (around(advance), ["global generators"]),
    "reads_torch": (changed(forked), ["global generators"]),
    "channels_last": (changed(lambda images: images.permute(0, 2, 3, 1)), ["shape"]),
    "squeezed": (changed(torch.squeeze), ["shape"]),
    "signed": (changed(lambda images: 2 * images - 1), ["range"]),
    "bytes": (changed(lambda images: (255 * images).to(torch.uint8)), ["dtype"]),
    "one_nan": (changed(with_nan), ["finite"]),
    "nan_if_dark": (changed(divided_by_zero), ["finite"]),
    "fixed_seed": (dishonest.OneNoisy, ["other seeds"]),
    "own_generator": (OwnGenerator, ["same seeds"]),
    "batch_norm": (BatchNorm, ["batch"]),
    "batch_mean": (dishonest.BatchDependent, ["batch"]),
    "first_generator": (FirstGenerator, ["batch"]),
    "four_rows": (around(stubborn), ["batch"]),
    "by_row": (dishonest.ByRow, ["row number"]),
    "remembers_rows": (Remembering, ["row number", "memory"]),
    "mutates_input": (around(lambda observation, _: observation.mul_(0.5)), ["inputs"]),
    "reverses_list": (around(after=lambda _, given: given.reverse()), ["inputs"]),
    "warm_up": (dishonest.WarmUp, ["first call"]),
    "memoiser": (dishonest.Memoiser, ["repeated input", "memory"]),
    "leaks": (Leaking, ["memory"]),
    "leaves_gradients": (settings(lambda: torch.set_grad_enabled(True)), ["settings of torch"]),
    "leaves_double": (
        settings(lambda: torch.set_default_dtype(torch.float64)),
        ["settings of torch"],
    ),
    "leaves_device": (settings(lambda: torch.set_default_device("meta")), ["settings of torch"]),
    "leaves_tf32": (
        settings(lambda: torch.set_float32_matmul_precision("high")),
        ["settings of torch"],
    ),
    "loads_double": (loads_double, ["settings of torch"]),
    "ten_distinct": (
        seeded_by(lambda given: [one.initial_seed() % 10 for one in given]),
        ["distinct"],
    ),
    "every_sample_twice": (dishonest.HalfDistinct, ["batch", "distinct"]),
    "raises": (around(raising), ["tensor"]),
    "raises_late": (around(late), ["tensor"]),
    "lists": (changed(list), ["tensor"]),
    "no_weights": (failing_factory, ["loads"]),
    "old_form": (old_factory, ["loads"]),
    "no_sampler": (no_sampler, ["loads"]),
}


class Unconditional:
    def __init__(self, problem, device):
        self.size, self.device = problem.size, device

    def __call__(self, observation, generators):  # noqa: ARG002
        noise = randn(generators, (3, 8, 8), device=self.device)
        return interpolate(0.5 + 0.2 * noise, self.size, mode="bilinear").clamp(0, 1)


def through_numpy(problem, device):
    """Seed NumPy's new generators from those that are given; return an array of float64."""
    base = Honest(problem, device)

    def sampler(observation, generators):
        seeds = [int(torch.randint(2**62, (1,), generator=one)) for one in generators]
        noise = [np.random.default_rng(s).normal(0, 0.1, (3, *problem.size)) for s in seeds]
        return np.clip(base.valid(observation).numpy() + np.stack(noise), 0, 1)

    return sampler


def chunked(problem, device):
    """Sample in chunks of its own."""
    base = Honest(problem, device)

    def sampler(observation, generators):
        parts = zip(observation.split(3), range(0, len(generators), 3), strict=True)
        return torch.cat([base(part, generators[i : i + 3]) for part, i in parts])

    return sampler


def slow(problem, device):
    return around(lambda _, given: dishonest.work(0.05 * len(given)))(problem, device)


def guided(problem, device):
    """Follow the gradient of the residual for a few steps, as guided diffusion does."""
    base = Honest(problem, device)

    def sampler(observation, generators):
        if problem.linear is None:
            return base(observation, generators)
        images = (0.5 + 0.2 * base.noise(generators)).requires_grad_()
        for _ in range(5):
            with torch.enable_grad():
                residual = (observation - problem.linear(images)).square().sum()
                (gradient,) = torch.autograd.grad(residual, images)
            noise = 0.05 * base.noise(generators)
            step = gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None]
            images = (images - 5 * step + noise).detach().requires_grad_()
        return images.clamp(0, 1)

    return sampler


def deterministic(problem, device):
    """Say that samples of one observation do not differ."""

    class Deterministic(dishonest.Upsampled):
        stochastic = "none"

        def __call__(self, observation, generators):
            return super().__call__(observation, generators).clamp(0, 1)

    return Deterministic(problem, device)


def reference(problem, device):
    del device
    return reference_sampler(problem) if problem.linear else Honest(problem, torch.device("cpu"))


HONEST = {
    "noisy": Honest,
    "unconditional": Unconditional,
    "through_numpy": through_numpy,
    "chunked": chunked,
    "slow": slow,
    "guided": guided,
    "double": changed(torch.Tensor.double),
    "deterministic": deterministic,
    "reference": reference,
}


def shrink(images):
    return avg_pool2d(images, 2)


def blur(images):
    """Blur by a kernel that is not symmetric, across periodic borders."""
    kernel = torch.tensor([[1.0, 2, 1], [0, 1, 0], [0, 0, 0]]).to(images)[None, None] / 5
    wide = pad(images, (1, 1, 1, 1), mode="circular")
    return conv2d(wide, kernel.expand(3, 1, 3, 3), groups=3)


class Flipped(LinearFunction):
    """Blurs backwards by the kernel that blurs forwards."""

    def adjoint(self, observations):
        return self(observations)


class AdjointForPinv(LinearFunction):
    def pinv(self, observations):
        return self.adjoint(observations)


class InPlace(LinearFunction):
    def adjoint(self, observations):
        return super().adjoint(observations.mul_(2)) / 2


class Changed(Unrounded):
    """A forward process that does something to what its twin observes."""

    def __call__(self, images):
        return self.params["change"](super().__call__(images))

    def identity(self):
        return {"name": self.name, "version": "1", "params": {}}


class FreshNoise(Noise):
    """Draws other noise at every call."""

    def add(self, observation, *, task, image_id):  # noqa: ARG002
        return observation + self.std * torch.randn(observation.shape)


class StrongNoise(Noise):
    def add(self, observation, *, task, image_id):
        noisy = super().add(observation, task=task, image_id=image_id)
        return observation + 2 * (noisy - observation)


def with_twin(twin, function=shrink):
    made = partial(twin, function=function)
    return lambda: Task(name="own", version="1", operator=Unrounded("own", made), linear=made)


def with_operator(change, *, linear=True):
    made = partial(LinearFunction, function=shrink)

    def factory():
        operator = Changed("own", made, {"change": change})
        return Task(name="own", version="1", operator=operator, linear=made if linear else None)

    return factory


def with_noise(noise):
    return lambda: linear_task(shrink, noise=noise)


def offset_by_batch(seen):
    return (seen + 0.1 * (seen - seen.mean(0))).clamp(0, 1) if seen.ndim == 4 else seen


def random_mask(seen):
    return seen * (torch.rand(seen.shape) < 0.5)


def settings_of_operator(seen):
    torch.set_grad_enabled(False)
    return seen


def shape_of_batches(seen):
    return seen[:1]


def not_linear():
    return linear_task(lambda images: images.square())


def own():
    """Make a task without a defect."""
    return linear_task(shrink, noise=Noise(0.02), size=32)


TASKS = {
    "own": (own, []),
    "adjoint_flipped": (with_twin(Flipped, blur), ["adjoint"]),
    "pinv_is_adjoint": (with_twin(AdjointForPinv), ["pinv"]),
    "adjoint_in_place": (with_twin(InPlace), ["inputs"]),
    "depends_on_batch": (with_operator(offset_by_batch, linear=False), ["batch"]),
    "beyond_one": (with_operator(lambda seen: 3 * seen, linear=False), ["range"]),
    "random": (with_operator(random_mask, linear=False), ["determinism"]),
    "not_finite": (with_operator(lambda seen: seen / (seen > 0.5), linear=False), ["finite"]),
    "other_shape": (with_operator(lambda seen: seen[..., 1:], linear=False), ["shape"]),
    "one_of_batch": (with_operator(shape_of_batches, linear=False), ["shape"]),
    "double": (with_operator(torch.Tensor.double, linear=False), ["dtype"]),
    "moved_from_twin": (with_operator(lambda seen: seen.roll(1, -1)), ["twin's values"]),
    "leaves_gradients": (
        with_operator(settings_of_operator, linear=False),
        ["settings of torch"],
    ),
    "fresh_noise": (with_noise(FreshNoise(0.05)), ["noise"]),
    "strong_noise": (with_noise(StrongNoise(0.05)), ["noise"]),
    "not_linear": (not_linear, ["loads"]),
    "no_task": (lambda: 1, ["loads"]),
}


def __getattr__(name):
    """Give each sampler, and each task as ``task_<name>``, as a factory of its own name."""
    found = {**HONEST, **{key: factory for key, (factory, _) in SAMPLERS.items()}}
    found |= {f"task_{key}": factory for key, (factory, _) in TASKS.items()}
    try:
        return found[name]
    except KeyError:
        raise AttributeError(name) from None
