"""Singular value decompositions of image operators, applied without ever building them.

DDRM (Kawar et al. 2022) works on ``V^T x`` and ``U^T y``, flat vectors in which coefficient i
belongs to singular value i; coefficients that the operator does not see come last. Their order is
that of its published code, so that the same noise gives the same sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


class SVD(Protocol):
    """The decomposition ``H = U S V^T`` of a linear operator on images ``[B, C, H, W]``.

    Attributes:
        singular_values: float64 ``[m]``, in the order of the coefficients, zeros where H is blind.
        shape: of an image, (C, H, W).
    """

    singular_values: Tensor
    shape: tuple[int, int, int]

    def u_transpose(self, observations: Tensor) -> Tensor:
        """Map observations ``[B, c, h, w]`` to coefficients ``[B, m]``."""

    def u(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, m]`` to observations ``[B, c, h, w]``."""

    def v_transpose(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to coefficients ``[B, D]``, the first m of them observed."""

    def v(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, D]`` to images ``[B, C, H, W]``."""


@dataclass(frozen=True, eq=False)
class Factors:
    """A full decomposition ``u @ diag(s) @ v[:, :m].T`` of one small matrix ``[m, n]``.

    Attributes:
        u: ``[m, m]``, orthogonal.
        s: ``[m]``, not negative.
        v: ``[n, n]``, orthogonal; the columns from m on span what the matrix does not see.
    """

    u: Tensor
    s: Tensor
    v: Tensor

    @classmethod
    def of(cls, matrix: np.ndarray, *, cutoff: float = 0.0) -> Factors:
        """Decompose a matrix ``[m, n]``, m <= n, in float64; small values become zero."""
        u, s, vt = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=True)
        s[s < max(cutoff, max(matrix.shape) * np.finfo(np.float64).eps * s[0])] = 0
        return cls(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (u, s, vt.T)))

    def like(self, tensor: Tensor) -> Factors:
        """Return the factors in a tensor's dtype, on its device."""
        return _cast(self, tensor.dtype, tensor.device)


@lru_cache(maxsize=32)
def _cast(factors: Factors, dtype: torch.dtype, device: torch.device) -> Factors:
    with torch.inference_mode(mode=False):  # kept, so also for callers that need gradients
        return Factors(*(each.to(device, dtype) for each in (factors.u, factors.s, factors.v)))


class SeparableSVD:
    """The decomposition of ``Y = R X C^T``, done for each channel of an image X.

    With ``R = U S V^T`` and likewise for C, the spectrum of an image is ``V_R^T X V_C``. Flattened,
    it starts with the observed block of ``[h, w]`` values, then come the columns right of it, then
    the rows below; channels vary fastest.

    Args:
        rows: of R, ``[h, H]``, which acts on columns of pixels, i.e. along the height.
        columns: of C, ``[w, W]``, which acts along the width.
        channels: of the image.
    """

    def __init__(self, rows: Factors, columns: Factors, channels: int = 3) -> None:
        self.shape = channels, len(rows.v), len(columns.v)
        self._factors = rows, columns
        self._observed = len(rows.s), len(columns.s)
        self._channels = channels
        values = torch.outer(rows.s.double(), columns.s.double())
        self.singular_values = values.flatten().repeat_interleave(channels)

    def u_transpose(self, observations: Tensor) -> Tensor:
        """Map observations ``[B, C, h, w]`` to coefficients ``[B, h w C]``."""
        rows, columns = (factors.like(observations) for factors in self._factors)
        spectrum = rows.u.T @ observations @ columns.u
        return spectrum.flatten(2).transpose(1, 2).flatten(1)

    def u(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, h w C]`` to observations ``[B, C, h, w]``."""
        rows, columns = (factors.like(coefficients) for factors in self._factors)
        spectrum: Tensor = coefficients.unflatten(1, (*self._observed, self._channels))
        return rows.u @ spectrum.movedim(-1, 1) @ columns.u.T

    def v_transpose(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to coefficients ``[B, H W C]``."""
        rows, columns = (factors.like(images) for factors in self._factors)
        spectrum = rows.v.T @ images @ columns.v
        h, w = self._observed
        parts = spectrum[..., :h, :w], spectrum[..., :h, w:], spectrum[..., h:, :]
        flat = torch.cat([part.flatten(2) for part in parts], dim=2)
        return flat.transpose(1, 2).flatten(1)

    def v(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, H W C]`` to images ``[B, C, H, W]``."""
        rows, columns = (factors.like(coefficients) for factors in self._factors)
        (h, w), (height, width) = self._observed, (len(rows.v), len(columns.v))
        flat = coefficients.unflatten(1, (height * width, self._channels)).transpose(1, 2)
        seen, right, below = flat.split((h * w, h * (width - w), (height - h) * width), dim=2)
        top = torch.cat([seen.unflatten(2, (h, w)), right.unflatten(2, (h, width - w))], dim=3)
        spectrum = torch.cat([top, below.unflatten(2, (height - h, width))], dim=2)
        return rows.v @ spectrum @ columns.v.T


class PixelSVD:
    """The decomposition of a weighted sum of the channels, done for each pixel.

    Coefficients are sorted by component: the observed one of all pixels, then the others.

    Args:
        factors: of the row of weights of the channels, ``[1, C]``.
        height: of the image.
        width: of the image.
    """

    def __init__(self, factors: Factors, height: int, width: int) -> None:
        self.shape = len(factors.v), height, width
        self._factors = factors
        self._size = height, width
        self.singular_values = factors.s.double().repeat_interleave(height * width)

    def u_transpose(self, observations: Tensor) -> Tensor:
        """Map observations ``[B, 1, H, W]`` to coefficients ``[B, H W]``."""
        return _mix(self._factors.like(observations).u.T, observations).flatten(1)

    def u(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, H W]`` to observations ``[B, 1, H, W]``."""
        planes = coefficients.unflatten(1, (-1, *self._size))
        return _mix(self._factors.like(coefficients).u, planes)

    def v_transpose(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to coefficients ``[B, C H W]``."""
        return _mix(self._factors.like(images).v.T, images).flatten(1)

    def v(self, coefficients: Tensor) -> Tensor:
        """Map coefficients ``[B, C H W]`` to images ``[B, C, H, W]``."""
        planes = coefficients.unflatten(1, (-1, *self._size))
        return _mix(self._factors.like(coefficients).v, planes)


def _mix(matrix: Tensor, planes: Tensor) -> Tensor:
    """Multiply the channels of every pixel by a matrix."""
    return torch.einsum("ij,bjhw->bihw", matrix, planes)
