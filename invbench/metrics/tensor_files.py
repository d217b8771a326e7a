"""Files of named tensors from elsewhere: .pth without pickled code, .safetensors and .npz."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from invbench.errors import CorruptCheckpointError, ForeignCheckpointError, MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

# What the readers of the formats raise on files that are damaged or something else.
_READING_ERRORS = (
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        MissingDataError: if there is no such file.
        CorruptCheckpointError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: no such file of LPIPS weights") from error
    except OSError as error:
        raise CorruptCheckpointError(f"{path}: cannot be read ({error})") from error


def parse(path: Path, content: bytes) -> dict[str, Tensor]:
    """Return the tensors in a file's bytes, by name; its suffix says what the format is.

    Raises:
        CorruptCheckpointError: if they are damaged, or of no such format.
        ForeignCheckpointError: if they hold something else than named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load(content)
        elif path.suffix == ".npz":
            with np.load(io.BytesIO(content)) as arrays:
                state = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _READING_ERRORS as error:
        raise CorruptCheckpointError(
            f"{path}: damaged, or no .pth, .safetensors or .npz file of tensors ({error})"
        ) from error
    if not (isinstance(state, dict) and all(map(_is_named_tensor, state.items()))):
        raise ForeignCheckpointError(f"{path}: does not hold a flat dictionary of tensors")
    return state


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], torch.Tensor)
