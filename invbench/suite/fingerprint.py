"""By what a sampler of the user's own is known again: a digest of its source."""

from __future__ import annotations

import inspect
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from invbench.models import Sampler


def source_digest(factory: Callable[..., Sampler], module: str, sampler: Sampler) -> str | None:
    """Return the SHA-256 of the code that a sampler came from and of its ``fingerprint``.

    The code is the file of the factory's module, of the module that it was named by, and of the
    sampler's own module or class. Other files that these import are not seen, nor are weights: a
    sampler that hangs on them says so by its ``fingerprint``, any text.

    Returns:
        None where there is neither a source nor a fingerprint.
    """
    names = {module, *(getattr(thing, "__module__", "") for thing in (factory, sampler))}
    files = {name: file for name in names if (file := _source_file(name))}
    said = getattr(sampler, "fingerprint", None)
    if not files and said is None:
        return None
    state = sha256(f"fingerprint {said}".encode(errors="surrogatepass"))
    for name in sorted(files):
        state.update(f"\n{name}\n".encode() + files[name].read_bytes())
    return state.hexdigest()


def _source_file(module: str) -> Path | None:
    """Return the file of a module's Python source, if it has one."""
    try:
        file = inspect.getsourcefile(sys.modules[module])
    except (KeyError, TypeError):
        return None
    return Path(file) if file and Path(file).is_file() else None
