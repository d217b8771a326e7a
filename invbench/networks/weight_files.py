"""Files of tensors: read without running code from them, in memory that their size bounds."""

from __future__ import annotations

import re
import zipfile
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

import safetensors.torch
import torch

from invbench.errors import CorruptCheckpointError, InvbenchError
from invbench.files import ARCHIVE_ERRORS, PORTION, read_bytes, read_npz, require_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


class UnsafeCheckpointError(InvbenchError, ValueError):
    """A file could only be read by running code that is stored in it."""


def read_tensors(path: Path) -> Any:
    """Read a safetensors or ``.npz`` file by its suffix, or else one that ``torch.save`` wrote.

    No code from the file is run. What is compressed must not inflate to many times its size, and
    archives are held against their checksums.

    Returns:
        A dictionary of tensors on the CPU; of ``torch.save`` whatever the file holds.

    Raises:
        MissingDataError: if there is no such file.
        UnsafeCheckpointError: naming what the file wants to have called.
        CorruptCheckpointError: if it is damaged, no regular file, or of none of these formats.
    """
    require_regular(path, CorruptCheckpointError)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix == ".npz":
            arrays = read_npz(read_bytes(path, CorruptCheckpointError))
            return {name: torch.from_numpy(array) for name, array in arrays.items()}
        return _read_saved(path)
    except InvbenchError:
        raise
    except UnpicklingError as error:
        _refuse_code(path, error)
        raise CorruptCheckpointError(f"{path}: damaged or not written by torch.save") from error
    except Exception as error:  # readers raise anything when a file is damaged
        message = f"{path}: damaged, or no .pth, .safetensors or .npz file of tensors ({error})"
        raise CorruptCheckpointError(message) from error


def require_weights(tensors: Mapping[str, Tensor], origin: object) -> None:
    """Refuse tensors that cannot be weights, though they have the shape.

    Args:
        tensors: by name.
        origin: what they were read from, for the message.

    Raises:
        CorruptCheckpointError: for what is sparse, nested, quantized, complex or without values;
            for a tensor that repeats fewer numbers than it has, and for numbers not finite.
    """
    for name, tensor in tensors.items():
        kinds = {
            "sparse": tensor.layout != torch.strided,
            "nested": tensor.is_nested,
            "quantized": tensor.is_quantized,
            "without values": tensor.is_meta,
            "complex": tensor.is_complex(),
        }
        if kind := next((kind for kind, found in kinds.items() if found), None):
            raise CorruptCheckpointError(f"{origin}: {name} is {kind}; save plain numbers")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CorruptCheckpointError(f"{origin}: {name} repeats numbers; save a copy of it")
        if not torch.isfinite(tensor).all():
            raise CorruptCheckpointError(f"{origin}: {name} is not finite; training had diverged")


def _read_saved(path: Path) -> Any:
    """Read what ``torch.save`` wrote."""
    if zipfile.is_zipfile(path):
        _check_archive(path)
    with catch_warnings(action="ignore"):  # of pickle protocols; what matters is an error
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(path: Path) -> None:
    """Refuse an archive that is compressed, as ``torch.save`` writes none, or damaged.

    torch itself does not look at checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise CorruptCheckpointError(f"{path}: is compressed, as torch.save does not")
            for name in archive.namelist():
                with archive.open(name) as stream:
                    while stream.read(PORTION):
                        pass
    except ARCHIVE_ERRORS as error:
        if isinstance(error, InvbenchError):
            raise
        raise CorruptCheckpointError(f"{path}: damaged ({error})") from error


def _refuse_code(path: Path, error: UnpicklingError) -> None:
    """Name what a file would have to run, if that is why it was not read."""
    if wanted := re.search(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error)):
        raise UnsafeCheckpointError(
            f"{path}: holds more than tensors and would have to run {wanted[1]} to be read, "
            "which is refused. If you trust its origin, take the state dict out yourself, "
            "where doing so can harm nothing: "
            "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'plain.pt'); "
            "then use plain.pt"
        ) from error
