"""Files of tensors: read without running code from them, in memory that their size bounds."""

from __future__ import annotations

import pickletools
import re
import zipfile
from os import SEEK_CUR
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

import safetensors.torch
import torch

from invbench.errors import CorruptCheckpointError, InvbenchError
from invbench.files import (
    ARCHIVE_ERRORS,
    PORTION,
    named_once,
    read_bytes,
    read_npz,
    require_regular,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO

    from torch import Tensor

GROWING = {"builtins bytearray", "__builtin__ bytearray", "_codecs encode"}
"""What torch does call for a file, though a few bytes can ask it for any amount of memory."""

MOST_HEADER = 1 << 21
"""Bytes of a safetensors file's header: some ten thousand tensors; networks have hundreds."""

LEGACY_PICKLES = 5  # that precede the numbers in a file of ``torch.save`` before torch 1.6


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
            check_header(path)
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


def check_header(path: Path) -> None:
    """Refuse a safetensors file that lists so many tensors that listing them takes memory and time.

    Raises:
        CorruptCheckpointError: if its header is longer than that of any network.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if MOST_HEADER < length < path.stat().st_size:  # one that leads beyond the end is damaged
        raise CorruptCheckpointError(
            f"{path}: its list of tensors has {length:,} bytes; at most {MOST_HEADER:,} are read, "
            "so save the weights of one network alone"
        )


def require_weights(tensors: Mapping[str, Tensor], origin: object) -> None:
    """Refuse tensors that cannot be weights, though they may have the shape.

    Args:
        tensors: by name.
        origin: what they were read from, for the message.

    Raises:
        CorruptCheckpointError: for what is sparse, nested, quantized, complex or without values;
            for a tensor that repeats fewer numbers than it has, for numbers that torch cannot
            compute with, and for numbers not finite.
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
        if not _is_finite(tensor, f"{origin}: {name}"):
            raise CorruptCheckpointError(f"{origin}: {name} is not finite; training had diverged")


def _is_finite(tensor: Tensor, what: str) -> bool:
    try:
        used = tensor.float() if tensor.dtype == torch.float64 else tensor
        return bool(torch.isfinite(used).all())
    except RuntimeError as error:  # of a type that is only stored, or too many dimensions
        raise CorruptCheckpointError(
            f"{what} cannot be computed with ({error}); save plain float32"
        ) from error


def _read_saved(path: Path) -> Any:
    """Read what ``torch.save`` wrote."""
    if zipfile.is_zipfile(path):
        _check_archive(path)
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":  # by which torch knows an archive
            stream.seek(0)
            _check_calls(path, stream, LEGACY_PICKLES)
    with catch_warnings(action="ignore"):  # of pickle protocols; what matters is an error
        content = torch.load(path, map_location="cpu", weights_only=True)
    if sum(_sizes_of_storages(content).values()) > path.stat().st_size:
        raise CorruptCheckpointError(f"{path}: asks for tensors of more bytes than it has itself")
    return content


def _check_archive(path: Path) -> None:
    """Refuse an archive that is compressed, as ``torch.save`` writes none, or damaged.

    torch itself does not look at checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise CorruptCheckpointError(f"{path}: is compressed, as torch.save does not")
            for name in named_once(archive):
                with archive.open(name) as stream:
                    while stream.read(PORTION):
                        pass
                if name.casefold().endswith("data.pkl"):
                    with archive.open(name) as stream:
                        _check_calls(path, stream, 1)
    except ARCHIVE_ERRORS as error:
        if isinstance(error, InvbenchError):
            raise
        raise CorruptCheckpointError(f"{path}: damaged ({error})") from error


def _check_calls(path: Path, stream: IO[bytes], most: int) -> None:
    """Refuse pickles, as many as there are or ``most``, that have `GROWING` called."""
    try:
        while most and stream.read(1):
            most -= 1
            stream.seek(-1, SEEK_CUR)
            for _, argument, _ in pickletools.genops(stream):
                if isinstance(argument, str) and argument in GROWING:
                    raise _unsafe(path, argument.replace(" ", "."))
    except ValueError as error:
        if isinstance(error, InvbenchError):
            raise
        raise CorruptCheckpointError(
            f"{path}: damaged or not written by torch.save ({error})"
        ) from error


def _sizes_of_storages(content: Any) -> dict[int, int]:
    """Return the bytes that tensors in lists and dictionaries hold, by their address."""
    left, seen, sizes = [content], set[int](), dict[int, int]()
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            if item.layout == torch.strided and not (item.is_nested or item.is_meta):
                storage = item.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
        elif isinstance(item, dict):
            left += item.values()
        elif isinstance(item, (list, tuple)):
            left += item
    return sizes


def _refuse_code(path: Path, error: UnpicklingError) -> None:
    """Name what a file would have to run, if that is why it was not read."""
    if wanted := re.search(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error)):
        raise _unsafe(path, wanted[1]) from error


def _unsafe(path: Path, wanted: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{path}: holds more than tensors and would have to run {wanted} to be read, "
        "which is refused. If you trust its origin, take the state dict out yourself, "
        "where doing so can harm nothing: "
        "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'plain.pt'); "
        "then use plain.pt"
    )
