"""Linear operators from any linear function of images, and linear operators as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from invbench.errors import InvalidImagesError
from invbench.images import check_images
from invbench.operators.conjugate_gradients import solve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from invbench.operators import Linear

TOLERANCE = 1e-7  # of `LinearFunction.pinv`, relative
LINEAR_WITHIN = 1e-4  # of a function's sum, relative


@dataclass(frozen=True)
class LinearFunction:
    """A linear function of images as an operator; its adjoint comes from autograd.

    Attributes:
        height: of the images.
        width: of the images.
        function: maps ``[N, 3, H, W]`` to ``[N, c, h, w]`` by operations of torch.
    """

    height: int
    width: int
    function: Callable[[Tensor], Tensor]

    name: ClassVar[str] = "function"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        """Try the function out.

        Raises:
            InvalidImagesError: if it returns no batch of images, is not linear, gives another
                answer when it is asked again, or sees an image otherwise in a batch.
        """
        source = torch.Generator().manual_seed(0)
        one, other = torch.rand(
            2, 1, 3, self.height, self.width, generator=source, dtype=torch.float32, device="cpu"
        )
        seen = self.function(one)
        right = isinstance(seen, torch.Tensor) and seen.ndim == 4 and len(seen) == 1
        if not (right and seen.numel()):
            found = tuple(seen.shape) if isinstance(seen, torch.Tensor) else type(seen).__name__
            raise InvalidImagesError(
                f"the function maps {tuple(one.shape)} to {found}; return [N, c, h, w]"
            )
        if not torch.allclose(seen, self.function(one), rtol=0, atol=0, equal_nan=True):
            raise InvalidImagesError(
                "the function gives the same image another observation at every call; draw what is "
                "random, as a mask, once and outside of it"
            )
        alone = torch.cat([seen, self.function(other)])
        apart = (self.function(torch.cat([one, other])) - alone).abs().max()
        if apart > LINEAR_WITHIN * alone.abs().max():
            raise InvalidImagesError(
                "the function sees an image otherwise in a batch than alone; what differs by "
                "image, as a mask, needs an operator with `at`, see docs/tasks.md"
            )
        both = self.function(one + 2 * other)
        error = (both - seen - 2 * self.function(other)).abs().max() / both.abs().max()
        if not error < LINEAR_WITHIN:
            raise InvalidImagesError(
                f"the function is not linear: f(a + 2 b) differs from f(a) + 2 f(b) by {error:.2g} "
                "of its size; leave out rounding, clamping and offsets"
            )

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, but for the function's code, for the record."""
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        params = {"height": self.height, "width": self.width, "function": name}
        return {"name": self.name, "version": self.version, "params": params}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        _, channels, *size = self.function(
            torch.zeros(1, 3, height, width, dtype=torch.float32, device="cpu")
        ).shape
        return channels, size[0], size[1]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one observation."""
        return self.observation_shape(self.height, self.width)

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` to observations ``[..., c, h, w]``.

        Raises:
            InvalidImagesError: for images of another size.
        """
        if images.shape[-3:] != (3, self.height, self.width):
            raise InvalidImagesError(
                f"shape {tuple(images.shape)} where the operator was made for "
                f"[..., 3, {self.height}, {self.width}]"
            )
        seen = self.function(images.reshape(-1, *images.shape[-3:]))
        return seen.reshape(*images.shape[:-3], *seen.shape[1:])

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations ``[..., c, h, w]`` to images by the transpose."""
        lead = observations.shape[:-3]
        images = observations.new_zeros(*lead, 3, self.height, self.width)
        transpose = torch.func.vjp(self, images)[1]
        adjoint: Tensor = transpose(observations)[0]
        return adjoint

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations to the shortest images that have them, by conjugate gradients.

        Raises:
            DidNotConvergeError: if a thousand steps do not suffice.
        """
        right = self.adjoint(observations.double())
        size = right.shape

        def normal(flat: Tensor) -> Tensor:
            images = flat.reshape(-1, *size[-3:])
            return self.adjoint(self(images)).flatten(1)

        found = solve(normal, right.reshape(-1, *size[-3:]).flatten(1), tolerance=TOLERANCE)
        return found.reshape(size).to(observations)

    def svd(self) -> None:
        """Return nothing: a function has no fast decomposition."""


@dataclass(frozen=True)
class Unrounded:
    """A linear operator as the forward process itself: float32, neither rounded nor clamped.

    Attributes:
        name: id for records.
        twin: gives the linear operator for a height and a width.
        params: of the operator at any size, for records.
    """

    name: str
    twin: Callable[[int, int], Linear]
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)

    version: ClassVar[str] = "1"

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        params = {**self.params, "quantization": "none"}
        return {"name": self.name, "version": self.version, "params": params}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return self.twin(height, width).observation_shape(height, width)

    def measured(self, height: int, width: int) -> Tensor | None:
        """Return which values of an observation were measured; None for all of them."""
        twin: Any = self.twin(height, width)
        return twin.measured(height, width) if hasattr(twin, "measured") else None

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` in [0, 1] to observations ``[..., c, h, w]``.

        Raises:
            InvalidImagesError: if the images break the convention.
        """
        check_images(images, channels=3)
        return self.twin(images.shape[-2], images.shape[-1])(images)
