"""Sorted needed factors of many images: in memory while they are few, in a temporary file after.

An image of 512x512 has 3 MB of them, and calibration has to ask all images at once. It asks how
many lie beyond a factor, for which every 256th of them and one short read are enough. No torch.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IN_MEMORY_BYTES = 256 << 20
BLOCK = 256  # factors: one read of 1 KiB


class FactorStore:
    """Keeps the needed factors of images, as long as something refers to it or to one of them."""

    def __init__(self, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._file = SpooledTemporaryFile(max_size=in_memory_bytes)  # noqa: SIM115  see finalize
        weakref.finalize(self, self._file.close)

    def keep(self, factors: NDArray[np.float32]) -> SortedFactors:
        """Keep an image's factors, which are in ascending order.

        Raises:
            OSError: if the folder of temporary files (``TMPDIR``) is full.

        Example:
            >>> kept = FactorStore().keep(np.array([0.0, 0.5, 2.0], dtype=np.float32))
            >>> kept.n_beyond(np.float32(0.5)), kept.size
            (1, 3)
        """
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(factors.astype(np.float32, copy=False).tobytes())
        return SortedFactors(self, start, factors.size, factors[::BLOCK].copy())

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Return so many factors from a byte on."""
        self._file.seek(start)
        return np.frombuffer(self._file.read(4 * count), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SortedFactors:
    """The needed factors of one image in a `FactorStore`.

    Attributes:
        store: where they are.
        start: the first byte there.
        size: how many there are.
        first_of_blocks: every 256th, from the first on.
    """

    store: FactorStore
    start: int
    size: int
    first_of_blocks: NDArray[np.float32]

    def n_beyond(self, threshold: np.float32) -> int:
        """Count the factors that are greater than a number."""
        block = int(self.first_of_blocks.searchsorted(threshold, side="right")) - 1
        if block < 0:
            return self.size
        begin = block * BLOCK
        part = self.store.read(self.start + 4 * begin, min(BLOCK, self.size - begin))
        return self.size - begin - int(part.searchsorted(threshold, side="right"))

    def read(self) -> NDArray[np.float32]:
        """Return all of them."""
        return self.store.read(self.start, self.size)
