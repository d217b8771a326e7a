"""A task of any linear function of images."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from invbench.operators import LinearFunction, Unrounded
from invbench.problems.noise import Noise
from invbench.problems.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def linear_task(
    function: Callable[[Tensor], Tensor],
    *,
    noise: Noise | None = None,
    size: int | None = None,
    name: str = "own",
    version: str = "1",
) -> Task:
    """Make a task of a linear function of images.

    Its adjoint comes from autograd and its pseudo-inverse from conjugate gradients, so that the
    problem's ``linear`` is complete but for an SVD. Observations are float32 as the function
    returns them, plus noise: neither rounded nor clamped.

    Args:
        function: maps ``[N, 3, H, W]`` in [0, 1] to ``[N, c, h, w]`` by operations of torch.
        noise: on the observation, as ``Noise(5 / 255)``; none by default.
        size: side of the targets, where the profile gives none.
        name: of the task; `--invbench-task` gives its own.
        version: change it whenever results stop being comparable.

    Example:
        >>> import torch
        >>> halves = linear_task(lambda images: torch.nn.functional.avg_pool2d(images, 2))
        >>> halves.problem((8, 8)).linear.adjoint(torch.ones(3, 4, 4)).unique()
        tensor([0.2500])
    """
    twin = lru_cache(maxsize=8)(partial(LinearFunction, function=function))
    label = getattr(function, "__qualname__", type(function).__name__)
    operator = Unrounded("function", twin, {"function": label})
    return Task(
        name=name,
        version=version,
        operator=operator,
        linear=twin,
        noise=noise or Noise.none(),
        size=size,
    )
