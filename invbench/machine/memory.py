"""Memory of the process: count what it holds, and have it keep what it frees.

glibc would return what is freed, to ask for it again. A sampler allocates the same large blocks at
every step. By default glibc maps each anew, and the system clears each page when it is first
touched: half of the time that diffusion models take on a CPU. The samples are the same either way.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import traceback

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of mallopt(3)
_LARGE = 64 * 2**20  # bytes; by default glibc maps any block of more than half of this


class _Mallinfo2(ctypes.Structure):
    """What mallinfo2(3) returns."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def keep_freed_memory() -> None:
    """Let freed blocks stay with this process, for its next allocations; glibc only.

    The process stays as large as it ever was, and a little larger than it would have been, since
    blocks cut to pieces cannot be used whole again: 1.22 in place of 1.07 GiB for DDRM at 64x64.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)


def return_freed_memory() -> None:
    """Return freed blocks to the system, those between used ones as well; glibc only.

    A small block that stays cuts a large one that was freed, which the next image then cannot use:
    without this a run at 512x512 grows by 3 MB an image.
    """
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def freed_memory_is_kept() -> bool:
    """Tell whether large blocks come from memory that the process keeps.

    It is found by allocating one, so that settings made from outside (``MALLOC_MMAP_MAX_``) count.
    """
    if (libc := _glibc()) is None:
        return False
    before = libc.mallinfo2().hblks
    block = libc.malloc(_LARGE)
    mapped = libc.mallinfo2().hblks > before
    libc.free(block)
    return not mapped


def bytes_in_use(device: torch.device) -> int | None:
    """Return the bytes that tensors, arrays and other large objects take, garbage left out.

    On a CPU they are what was allocated and not freed since, whether or not the process has
    returned the rest to the system; None without glibc. On a GPU they are those of its tensors.
    """
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if (libc := _glibc()) is None:
        return None
    found = libc.mallinfo2()
    return int(found.uordblks + found.hblkhd)


def release_memory(error: BaseException) -> None:
    """Free what the functions that an error ended still hold, on a GPU as well."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process if it is a glibc with mallinfo2 (2.33 and newer)."""
    if platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return None
    libc.mallinfo2.restype = _Mallinfo2
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.argtypes = (ctypes.c_void_p,)
    return libc
