"""What a sampler has to solve: an operator and its noise, at one size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch

from invbench.problems.noise import Noise

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.operators import Linear, Operator


class ExactDenoiser(Protocol):
    """The best denoiser of a world whose images have a known law."""

    def __call__(self, noisy: Tensor, std: float | Tensor) -> Tensor:
        """Return the mean of all images, given ``noisy = image + std * noise``.

        Args:
            noisy: ``[N, 3, H, W]``, images in [0, 1] with noise added.
            std: of the noise, in units of [0, 1]; one number, or one a row ``[N]``.

        Returns:
            ``[N, 3, H, W]``.
        """


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An inverse problem at one size; what the factory of a sampler receives.

    The task is to draw images x from what is known after ``y = operator(x) + noise.std * z``.

    Attributes:
        name: of the task, as "sr16".
        size: height and width of the images to return.
        operator: the exact forward process, by which samples are judged. Observations of it are
            rounded to 8 bits where the task says so; it has no useful gradient there.
        linear: its differentiable linear twin, with ``adjoint``, ``pinv`` and ``svd``; None where
            there is none, as for JPEG, or where it differs from image to image, see `at`.
        noise: on the observation, in units of [0, 1].
        observation_shape: channels, height and width of one observation.
        denoiser: the exact denoiser of the images' law, ``denoiser(noisy, std)``; None for
            photographs, whose law nobody knows.
    """

    name: str
    size: tuple[int, int]
    operator: Operator
    linear: Linear | None = None
    noise: Noise = Noise.none()
    observation_shape: tuple[int, int, int]
    denoiser: ExactDenoiser | None = None

    def observe(self, image: Tensor, image_id: str) -> Tensor:
        """Return the observation ``[c, h, w]`` of an image ``[3, H, W]`` in [0, 1], noise included.

        Args:
            image: of the problem's size.
            image_id: decides on the noise.
        """
        varied = getattr(self.operator, "observe", None)
        seen: Tensor = varied(image, image_id) if varied else self.operator(image)
        if not self.noise:
            return seen
        noisy = self.noise.add(seen, task=self.name, image_id=image_id)
        return noisy.where(self.measured().to(seen.device), seen)

    def at(self, observations: Tensor) -> Problem:
        """Return the problem that observations pose, whose operator and twin are known.

        It is the problem itself unless the forward process differs from image to image, as masks
        may. Then operator and twin are those of the observations, row by row, and what they make
        of images are an observation's first channels.

        Args:
            observations: ``[..., c, h, w]``, as samplers get them.

        Example:
            >>> from invbench.problems import find_task
            >>> problem = find_task("inpaint-varied50").problem((2, 2))
            >>> seen = problem.observe(torch.ones(3, 2, 2), "alps")
            >>> bool((problem.at(seen).operator(torch.ones(3, 2, 2)) == seen[:3]).all())
            True
        """
        at = getattr(self.operator, "at", None)
        if at is None:
            return self
        operator, linear = at(observations)
        return replace(self, operator=operator, linear=linear)

    def measured(self) -> Tensor:
        """Return which values of an observation were measured, bool ``[c, h, w]``.

        All are, but for those that a mask hides.
        """
        ask = getattr(self.operator, "measured", None)
        found: Tensor | None = ask(*self.size) if ask else None
        return (
            torch.ones(self.observation_shape, dtype=torch.bool, device="cpu")
            if found is None
            else found
        )
