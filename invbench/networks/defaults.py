"""What torch takes where nothing is said, whatever the program around has set."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Make float32 on the CPU the default for a while, as in a program that sets nothing.

    Layers are built with the defaults of torch, which a user's program may have changed.

    Example:
        >>> torch.set_default_dtype(torch.float64)
        >>> with usual_defaults():
        ...     layer = torch.nn.Linear(1, 1)
        >>> layer.weight.dtype, torch.get_default_dtype()
        (torch.float32, torch.float64)
        >>> torch.set_default_dtype(torch.float32)
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)
