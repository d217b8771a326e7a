"""Checkpoint files: safetensors with weights and a card that says what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003  `build` asks for the types of fields
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from hashlib import file_digest
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from invbench.errors import (
    CorruptCheckpointError,
    ForeignCheckpointError,
    InvalidRecordError,
    InvbenchError,
    MissingCheckpointError,
)
from invbench.files import atomic_write, is_there, require_regular
from invbench.networks import narrow
from invbench.networks.defaults import usual_defaults
from invbench.networks.weight_files import check_header, require_weights
from invbench.runs.typed_json import build, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor, nn

    from invbench.models.method import Method, Sampler

FORMAT = "invbench.checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's identity, for records.

    Attributes:
        path: the file.
        sha256: of its bytes.
        bytes: its size.
        card: how it was trained, as written by `invbench train`.
    """

    path: Path
    sha256: str
    bytes: int
    card: dict[str, Any]

    def identity(self) -> dict[str, Any]:
        """Return what identifies the weights, for the record."""
        return {"file": self.path.name, "sha256": self.sha256, "bytes": self.bytes}


def describe(config: Any) -> str:
    """Return a configuration as canonical JSON; equal configurations give equal text."""
    return json.dumps(asdict(config), sort_keys=True)


def agrees(stored: Mapping[str, Any], config: Any) -> bool:
    """Tell whether a stored configuration is this one.

    Options that the stored one does not name, because there were none of that name when it was
    written, were then at what is now their default.
    """
    known = {item.name: item for item in fields(config)}
    if stored.keys() - known.keys():
        return False
    for name, item in known.items():
        value = getattr(config, name)
        if name not in stored:
            same = value == item.default
        elif is_dataclass(value):
            same = isinstance(stored[name], dict) and agrees(stored[name], value)
        else:
            same = json.loads(json.dumps(value)) == stored[name]
        if not same:
            return False
    return True


def save_checkpoint(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    method: str,
    stem: str,
    config: Any,
    card: Any,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write weights, whole or not at all.

    Args:
        path: the file to write.
        weights: a state dict.
        method: model id.
        stem: what `Method.stem` gives: the method with the task it was trained for.
        config: the configuration that builds the network.
        card: JSON-able facts on the training.
        dtype: what is stored; half precision is enough for weights of our own.

    Raises:
        StorageError: if it cannot be written.
    """
    stored = {key: value.detach().cpu().to(dtype).contiguous() for key, value in weights.items()}
    metadata = {
        "format": FORMAT,
        "method": method,
        "stem": stem,
        "configuration": describe(config),
        "card": json.dumps(card, sort_keys=True),
    }
    with atomic_write(path) as stream:
        stream.write(save(stored, metadata=metadata))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file's tensors, as float32, and its metadata.

    Raises:
        MissingCheckpointError: if there is no such file.
        CorruptCheckpointError: if it is not a whole safetensors file, or does not hold weights.
    """
    with _open(path) as file:
        metadata = file.metadata() or {}
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    require_weights(weights, path)
    return {key: value.float() for key, value in weights.items()}, metadata


@dataclass(frozen=True, kw_only=True)
class Card:
    """What readers rely on in a checkpoint's card, which says more."""

    steps: int = 0
    minutes: float = 0.0
    validation: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


def read_card(path: Path) -> dict[str, Any]:
    """Return a checkpoint's card without reading its weights.

    Raises:
        MissingCheckpointError: if there is no such file.
        CorruptCheckpointError: if it is not a whole safetensors file, or the card is damaged.
        ForeignCheckpointError: if it was not written here.
    """
    with _open(path) as file:
        return _described(path, file.metadata() or {}, "card")


@dataclass(frozen=True)
class _Object:
    """Any JSON object."""


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a safetensors file; what is wrong with it has a name."""
    if not is_there(path):
        raise MissingCheckpointError(f"{path}: no such checkpoint; train one with `invbench train`")
    require_regular(path, CorruptCheckpointError)
    try:
        check_header(path)
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError, AttributeError, ValueError) as error:
        if isinstance(error, InvbenchError):
            raise
        raise CorruptCheckpointError(f"{path}: damaged or not safetensors ({error})") from error


def _described(path: Path, metadata: Mapping[str, str], entry: str) -> dict[str, Any]:
    """Return a JSON object from the metadata of a file that was written here."""
    if metadata.get("format") != FORMAT:
        raise ForeignCheckpointError(
            f"{path}: not written by invbench; see `invbench import-checkpoint`"
        )
    try:
        found: dict[str, Any] = parse(metadata.get(entry, ""))
        build(Card if entry == "card" else _Object, found)
    except InvalidRecordError as error:
        raise CorruptCheckpointError(
            f"{path}: its {entry} is damaged ({error}); get the file again, or train it anew"
        ) from error
    return found


@usual_defaults()
def load_checkpoint(
    path: Path,
    *,
    method: Method,
    task: str,
    configuration: str,
    device: torch.device | str = "cpu",
    dtype: str = "float32",
) -> tuple[Sampler, Checkpoint]:
    """Build a method's sampler from a checkpoint file.

    Args:
        path: the file.
        method: whose network it holds.
        task: that the network was trained for.
        configuration: whose sizes it has.
        device: where it is to sample.
        dtype: what the network computes in, see `prepare` and `Method.network_dtype`.

    Raises:
        MissingCheckpointError: if there is no such file.
        CorruptCheckpointError: if the file is damaged.
        ForeignCheckpointError: if it belongs to another model, task or configuration.
    """
    network, identity = load_network(path, method=method, task=task, configuration=configuration)
    config = method.configure(task, configuration)
    prepare(network, device, method.network_dtype(config, dtype))
    return method.sampler(network, config), identity


def load_network(
    path: Path, *, method: Method, task: str, configuration: str
) -> tuple[nn.Module, Checkpoint]:
    """Build a method's network with a checkpoint's weights, as training left it.

    Args:
        path: the file.
        method: whose network it holds.
        task: that the network was trained for.
        configuration: whose sizes it has.

    Raises:
        MissingCheckpointError, CorruptCheckpointError, ForeignCheckpointError: see
            `load_checkpoint`.
    """
    weights, metadata = load_weights(path)
    config = method.configure(task, configuration)
    stem = method.stem(task, configuration)
    stored, card = (_described(path, metadata, entry) for entry in ("configuration", "card"))
    if (metadata.get("method"), metadata.get("stem")) != (method.name, stem):
        raise ForeignCheckpointError(f"{path}: holds {metadata.get('stem')}, not {stem}")
    if not agrees(stored, method.network_config(config)):
        raise ForeignCheckpointError(
            f"{path}: was built with another configuration than {configuration!r} is now; "
            "choose the profile it was trained for, or train it again"
        )
    network = method.build(config)
    _fill(network, weights, path)
    with path.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    return network, Checkpoint(path, digest, path.stat().st_size, card)


def prepare(network: nn.Module, device: torch.device | str, dtype: str = "float32") -> None:
    """Make a network ready to sample: on its device, and as fast as it can be there.

    Args:
        network: it is changed in place.
        device: where it is to sample.
        dtype: "float32", or "bfloat16" to have the network, and nothing else, compute in that.
    """
    network.to(device)
    # Convolutions with the channels last are faster on a CPU, and in half precision on a GPU
    if torch.device(device).type == "cpu" or dtype == "bfloat16":
        network.to(memory_format=torch.channels_last)
    network.eval().requires_grad_(requires_grad=False)
    if dtype == "bfloat16":
        narrow(network, device)


def _fill(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights whose names and shapes must be the network's own, all of them."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ForeignCheckpointError(f"{path}: does not fit the network ({error})") from error
