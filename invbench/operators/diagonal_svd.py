"""Singular value decompositions of operators that are diagonal in pixels or in frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class PermutedSVD:
    """The decomposition of a mask: some values are seen as they are, the others are not.

    Args:
        seen: which values, bool ``[C, H, W]``.
    """

    def __init__(self, seen: Tensor) -> None:
        channels, height, width = seen.shape
        self.shape = channels, height, width
        flat = seen.flatten()
        self._seen, hidden = flat.nonzero()[:, 0], (~flat).nonzero()[:, 0]
        self._order = torch.cat([self._seen, hidden])
        self._places = self._order.argsort()
        self.singular_values = torch.ones(len(self._seen), dtype=torch.float64, device="cpu")

    def u_transpose(self, observations: Tensor) -> Tensor:
        """Map observations ``[B, C, H, W]`` to coefficients ``[B, m]``."""
        coefficients: Tensor = observations.flatten(1)[:, self._seen.to(observations.device)]
        return coefficients

    def u(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, m]`` to observations ``[B, C, H, W]``, 0 where nothing is seen."""
        flat = coefficients.new_zeros(len(coefficients), len(self._order))
        places = self._seen.to(coefficients.device)
        observations: Tensor = flat.index_copy(1, places, coefficients).unflatten(1, self.shape)
        return observations

    def v_transpose(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to coefficients ``[B, C H W]``, those that are seen first."""
        coefficients: Tensor = images.flatten(1)[:, self._order.to(images.device)]
        return coefficients

    def v(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, C H W]`` to images ``[B, C, H, W]``."""
        images: Tensor = coefficients[:, self._places.to(coefficients.device)]
        return images.reshape(-1, *self.shape)


class HartleySVD:
    r"""The decomposition of a circular convolution, in the real waves of Hartley (1942).

    The Hartley transform of x is :math:`c = \mathrm{Re}\,Fx - \mathrm{Im}\,Fx` with the unitary
    Fourier transform F; it is real, orthogonal and its own inverse. A convolution whose response at
    frequency k is :math:`|h_k| e^{i\theta_k}` maps c to

    .. math::
        c'_k = |h_k| \, (\cos\theta_k \, c_k - \sin\theta_k \, c_{-k})

    so that V holds the waves, S the :math:`|h_k|`, and U the waves turned by the angles.

    Args:
        response: h, complex ``[H, W]``, as of ``fft2``.
        cutoff: of the largest singular value; smaller ones become zero.
        channels: of an image, each convolved by itself.
    """

    def __init__(self, response: Tensor, *, cutoff: float = 0.0, channels: int = 3) -> None:
        height, width = response.shape
        self.shape = channels, height, width
        size = response.abs()
        seen = size > cutoff * size.max()
        unit = torch.where(seen, response / size.where(seen, 1), 1)
        self._cosine, self._sine = unit.real, unit.imag
        self.singular_values = size.where(seen, 0).double().flatten().repeat(channels)

    def u_transpose(self, observations: Tensor) -> Tensor:
        """Map observations ``[B, C, H, W]`` to coefficients ``[B, C H W]``."""
        waves = hartley(observations)
        turned = self._cosine.to(waves) * waves + self._sine.to(waves) * _mirrored(waves)
        return turned.flatten(1)

    def u(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, C H W]`` to observations ``[B, C, H, W]``."""
        waves = coefficients.reshape(-1, *self.shape)
        turned = self._cosine.to(waves) * waves - self._sine.to(waves) * _mirrored(waves)
        return hartley(turned)

    def v_transpose(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to coefficients ``[B, C H W]``."""
        return hartley(images).flatten(1)

    def v(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, C H W]`` to images ``[B, C, H, W]``."""
        return hartley(coefficients.reshape(-1, *self.shape))


def hartley(images: Tensor) -> Tensor:
    """Return the orthogonal Hartley transform along the last two axes; twice is the identity.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> hartley(x).tolist()
    [[5.0, -1.0], [-2.0, 0.0]]
    """
    spectrum = torch.fft.fft2(images, norm="ortho")
    waves: Tensor = spectrum.real - spectrum.imag
    return waves


def _mirrored(waves: Tensor) -> Tensor:
    """Return at each frequency what is at the opposite one."""
    return waves.flip((-2, -1)).roll((1, 1), (-2, -1))
