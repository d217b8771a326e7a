"""Is a file whole? Written whole or not at all, read whole or refused by name."""

from invbench.files.archives import ARCHIVE_ERRORS, PORTION, ROOM, named_once, read_npz
from invbench.files.claims import Claim, claim_folder
from invbench.files.reading import (
    is_file,
    is_folder,
    is_there,
    read_bytes,
    require_regular,
    special_kind,
)
from invbench.files.writing import atomic_write, cannot_write, make_folder

__all__ = [
    "ARCHIVE_ERRORS",
    "PORTION",
    "ROOM",
    "Claim",
    "atomic_write",
    "cannot_write",
    "claim_folder",
    "is_file",
    "is_folder",
    "is_there",
    "make_folder",
    "named_once",
    "read_bytes",
    "read_npz",
    "require_regular",
    "special_kind",
]
