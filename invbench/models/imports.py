"""Published checkpoints become ours: read without running any code, renamed, held to the network.

A published file is a plain state dict, or a dict that holds one beside other things: a trainer's
resume file, a Lightning checkpoint, weights with their running average. Wrappers that a trainer
puts around names are undone here, names that differ between code bases by `Method.rename_official`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invbench.errors import (
    ForeignCheckpointError,
    UnknownNameError,
)
from invbench.models.checkpoints import save_checkpoint
from invbench.networks.defaults import usual_defaults
from invbench.networks.weight_files import read_tensors, require_weights

if TYPE_CHECKING:
    from pathlib import Path

    from invbench.models.method import Method

State = dict[str, Tensor]

AVERAGES = ("ema_state_dict", "state_dict_ema", "params_ema", "model_ema", "g_ema", "ema")
"""Entries that hold running averages, which are what a method samples with."""

PLAIN = ("state_dict", "model_state_dict", "params", "model", "net", "network", "netG", "generator")
"""Entries that hold weights, looked for after the averages."""

_AVERAGE_PREFIXES = ("ema_model.", "model_ema.", "ema.")
_WRAPPERS = ("module.", "_orig_mod.")
_SHOWN = 5


class MismatchedCheckpointError(ForeignCheckpointError):
    """A file's tensors are not those of the network it was imported for."""


@dataclass(frozen=True)
class Mismatch:
    """How a state dict differs from the one a network expects.

    Attributes:
        expected: number of tensors the network has.
        missing: names that the network has and the file lacks.
        unexpected: names that the file has and the network lacks.
        misshaped: name, shape in the file, shape in the network.
    """

    expected: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    def __bool__(self) -> bool:
        """Tell whether there is any difference."""
        return bool(self.missing or self.unexpected or self.misshaped)

    def __str__(self) -> str:
        """Name the first few differences of each kind, and count all of them."""
        shapes = [
            f"{name} {list(found)} where {list(wanted)} is expected"
            for name, found, wanted in self.misshaped
        ]
        kinds = {
            f"of {self.expected} missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": shapes,
        }
        return "; ".join(f"{len(names)} {kind}: {_few(names)}" for kind, names in kinds.items())


@usual_defaults()
def import_official(
    path: Path,
    folder: Path,
    *,
    method: Method,
    task: str,
    configuration: str = "official",
    entry: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Turn a published file into a checkpoint of ours, its weights unchanged in float32.

    Args:
        path: what was published.
        folder: where the checkpoint goes, under the name that the suite looks for.
        method: whose network it is.
        task: task id; files do not say it.
        configuration: whose sizes it has.
        entry: name of the state dict in the file; see `find_state` for the default.

    Returns:
        The checkpoint's path, and the facts for its card.

    Raises:
        MissingDataError: if there is no such file.
        UnsafeCheckpointError: if reading it would run code.
        CorruptCheckpointError: if it is damaged, or holds something else than weights.
        MismatchedCheckpointError: listing what is missing, unexpected or of another shape.
        UnknownNameError: for an unknown task, configuration or entry.
        StorageError: if the checkpoint cannot be written.
    """
    config = method.configure(task, configuration)
    source, given = find_state(read_tensors(path), entry=entry, path=path)
    require_weights(given, f"{path} ({source})")
    weights = method.rename_official(given)
    stem = method.stem(task, configuration)
    with torch.device("meta"):
        network = method.build(config)
    wanted = f"{stem} of configuration {configuration!r}"
    if mismatch := compare(network.state_dict(), weights):
        raise MismatchedCheckpointError(f"{path} ({source}) is no {wanted}: {mismatch}")
    card = {
        "method": method.name,
        "paper": method.source,
        "task": task,
        "configuration": configuration,
        "parameters": sum(value.numel() for value in network.parameters()),
        "imported": {
            "file": path.name,
            "sha256": _sha256(path),
            "entry": source,
            "tensors": len(weights),
            "left out": len(given) - len(weights),
        },
        "made": datetime.now(UTC).date().isoformat(),
    }
    target = folder / f"{stem}.safetensors"
    save_checkpoint(
        target,
        weights,
        method=method.name,
        stem=stem,
        config=method.network_config(config),
        card=card,
        dtype=torch.float32,
    )
    return target, card


def find_state(content: Any, *, entry: str | None = None, path: Path) -> tuple[str, State]:
    """Find the state dict in what a file holds, and undo what trainers put around names.

    Running averages come before the weights they average, since methods sample with them:
    entries are looked for in the order of `AVERAGES`, then `PLAIN`. In a list of things,
    as DDIM's trainer saves, the last state dict is the average.

    Args:
        content: what was read.
        entry: the entry to take instead; an index for a list, dots for dicts in dicts.
        path: of the file, for messages.

    Returns:
        Where it was found, in words, and the state dict.

    Raises:
        UnknownNameError: if there is no such entry.
        ForeignCheckpointError: if no state dict is found, or several of unknown names.
    """
    found = _state_dicts(content)
    if entry is None:
        name = _preferred(found, path, in_order=not isinstance(content, Mapping))
    elif entry in found:
        name = entry
    else:
        raise UnknownNameError.among(f"state dict in {path}", entry, found)
    where, state = name or "plain", found[name]
    for prefix in _AVERAGE_PREFIXES:
        if averaged := {k: v for k, v in state.items() if k.startswith(prefix)}:
            where, state = f"{where}, {prefix}*", _without(prefix, averaged)
    while wrapper := next((w for w in _WRAPPERS if all(k.startswith(w) for k in state)), None):
        state = _without(wrapper, state)
    return where, state


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def compare(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Mismatch:
    """Return how names and shapes of a state dict differ from the expected ones."""
    return Mismatch(
        expected=len(expected),
        missing=tuple(name for name in expected if name not in found),
        unexpected=tuple(name for name in found if name not in expected),
        misshaped=tuple(
            (name, tuple(found[name].shape), tuple(value.shape))
            for name, value in expected.items()
            if name in found and found[name].shape != value.shape
        ),
    )


def _preferred(found: Mapping[str, State], path: Path, *, in_order: bool) -> str:
    """Return the entry to take: the one there is, the first known name, or a list's last."""
    if len(found) == 1:
        return next(iter(found))
    for known in (*AVERAGES, *PLAIN):
        for name in found:
            if name.partition(".")[0] == known:
                return name
    if not found:
        raise ForeignCheckpointError(f"{path}: holds no state dict")
    if in_order:
        return list(found)[-1]
    raise ForeignCheckpointError(
        f"{path}: holds several state dicts; choose one of {', '.join(found)} by its entry"
    )


def _state_dicts(content: Any, name: str = "", depth: int = 2) -> dict[str, State]:
    """Return every non-empty dict of tensors by its entry, in the order of the file."""
    if isinstance(content, Mapping):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if tensors and len(tensors) == len(content):
            return {name: tensors}
        parts = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, Sequence) and not isinstance(content, str):
        parts = [(str(index), value) for index, value in enumerate(content)]
    else:
        return {}
    found: dict[str, State] = {}
    for key, value in parts if depth else []:
        found |= _state_dicts(value, f"{name}.{key}" if name else key, depth - 1)
    return found


def _without(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items()}


def _few(names: Sequence[str]) -> str:
    if not names:
        return "none"
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
