"""Sorted needed factors of many images: in memory while they are few, in a temporary file after.

An image of 512x512 has 3 MB of them, and calibration has to ask all images at once. It asks how
many lie beyond a factor, for which every 4096th of them and one short read are enough. No torch.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

IN_MEMORY_BYTES = 256 << 20
BLOCK = 4096  # factors: one read of 16 KiB


class FactorStore:
    """Keeps the needed factors of images, as long as something refers to it or to one of them.

    Where no temporary file can be written (see ``TMPDIR``), all stay in memory.
    """

    def __init__(self, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._room = in_memory_bytes
        self._file: IO[bytes] | None = None

    def keep(self, factors: NDArray[np.float32]) -> SortedFactors:
        """Keep an image's factors, which are in ascending order.

        Example:
            >>> kept = FactorStore().keep(np.array([0.0, 0.5, 2.0], dtype=np.float32))
            >>> kept.n_beyond(np.float32(0.5)), kept.size
            (1, 3)
        """
        factors = factors.astype(np.float32, copy=False)
        read = partial(_part, factors)
        if factors.nbytes <= self._room:
            self._room -= factors.nbytes
        else:
            try:
                read = partial(self._read, self._write(factors))
            except OSError:  # a full disk should cost memory, not the scores
                self._room = 0
        return SortedFactors(read, factors.size, factors[::BLOCK].copy())

    def _write(self, factors: NDArray[np.float32]) -> int:
        """Write an image's factors to the file and return where they begin."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed by finalize
            weakref.finalize(self, self._file.close)
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(factors.tobytes())
        self._file.flush()
        return start

    def _read(self, start: int, begin: int, count: int) -> NDArray[np.float32]:
        assert self._file is not None
        self._file.seek(start + 4 * begin)
        return np.frombuffer(self._file.read(4 * count), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SortedFactors:
    """The needed factors of one image in a `FactorStore`.

    Attributes:
        part: returns ``count`` factors from the ``begin``-th on.
        size: how many there are.
        first_of_blocks: every 4096th, from the first on.
    """

    part: Callable[[int, int], NDArray[np.float32]]
    size: int
    first_of_blocks: NDArray[np.float32]

    def n_beyond(self, threshold: np.float32) -> int:
        """Count the factors that are greater than a number."""
        block = int(self.first_of_blocks.searchsorted(threshold, side="right")) - 1
        if block < 0:
            return self.size
        begin = block * BLOCK
        part = self.part(begin, min(BLOCK, self.size - begin))
        return self.size - begin - int(part.searchsorted(threshold, side="right"))

    def read(self) -> NDArray[np.float32]:
        """Return all of them."""
        return self.part(0, self.size)


def _part(factors: NDArray[np.float32], begin: int, count: int) -> NDArray[np.float32]:
    return factors[begin : begin + count]
