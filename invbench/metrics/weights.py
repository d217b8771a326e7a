"""The weights of LPIPS: read from a file or torch's cache, downloaded, or drawn at random."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.request import urlopen

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from invbench.errors import (
    CorruptCheckpointError,
    ForeignCheckpointError,
    MissingDataError,
    UnknownNameError,
)
from invbench.files import atomic_write
from invbench.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Net = Literal["alex", "vgg", "squeeze"]

VERSION = "0.1"
_DOWNLOADS = "https://download.pytorch.org/models/"
_DOWNLOAD_TIMEOUT_SECONDS = 30
_FP16_SQUEEZE_DIGEST = "f414890cc32604b4"  # SqueezeNet 1.1 rounded to half precision, as .npz

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


@dataclass(frozen=True)
class Trunk:
    """A classification network whose features LPIPS compares.

    Attributes:
        score: name of a score made with the official weights.
        smallest_side: of an image that still reaches the last feature, in pixels.
        file: torchvision's name for its weights; ends in the first digits of their sha256.
    """

    score: str
    smallest_side: int
    file: str

    def is_official(self, digest: str) -> bool:
        """Tell whether a file of this sha256 is torchvision's."""
        return digest.startswith(Path(self.file).stem.rpartition("-")[2])


TRUNKS = {
    "alex": Trunk("lpips", 31, "alexnet-owt-7be5be79.pth"),
    "vgg": Trunk("lpips_vgg", 16, "vgg16-397923af.pth"),
    "squeeze": Trunk("lpips_squeeze", 17, "squeezenet1_1-b8a52dc0.pth"),
}


@dataclass(frozen=True, kw_only=True)
class TrunkWeights:
    """A trunk's weights, and the name of the score made with them.

    Attributes:
        score: name of the score made with them.
        sha256: of the file, or of the drawn values.
        reason: why they are random; empty if they are not.
        state: by the names of the package's trunk, float32.
    """

    score: str
    sha256: str
    reason: str = ""
    state: dict[str, Tensor] = field(repr=False)


def load_trunk(net: str, path: Path | None = None, *, offline: bool) -> TrunkWeights:
    """Read a trunk's weights from ``path``, torch's cache or a download, or draw random ones.

    Raises:
        UnknownNameError: for another trunk.
        MissingDataError: if ``path`` names no file.
        CorruptCheckpointError: if the file cannot be read, is not finite, or lies in torch's cache
            under a name that promises another one.
        ForeignCheckpointError: if the weights are of another network.
    """
    if net not in TRUNKS:
        raise UnknownNameError.among("LPIPS trunk", net, TRUNKS)
    if path:
        return _from_file(net, path)
    official, reason = _official_file(TRUNKS[net], offline=offline)
    return _from_file(net, official, must_be_official=True) if official else _random(net, reason)


def _from_file(net: str, path: Path, *, must_be_official: bool = False) -> TrunkWeights:
    content = _read_file(path)
    digest = sha256(content).hexdigest()
    if must_be_official and not TRUNKS[net].is_official(digest):
        raise CorruptCheckpointError(
            f"{path}: has sha256 {digest[:8]}..., against its name; delete the file"
        )
    state = _trunk_state(net, path, _parse(path, content))
    return TrunkWeights(score=_score_name(net, digest), sha256=digest, state=state)


def _score_name(net: str, digest: str) -> str:
    if TRUNKS[net].is_official(digest):
        return TRUNKS[net].score
    if net == "squeeze" and digest.startswith(_FP16_SQUEEZE_DIGEST):
        return "lpips_squeeze_fp16"
    return "lpips_custom"


def _official_file(trunk: Trunk, *, offline: bool) -> tuple[Path | None, str]:
    """Return torchvision's file from the cache or a download, or None and why there is none."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / trunk.file
    if path.is_file():
        return path, ""
    if offline:
        return None, f"{path}: not there, and downloads are off"
    try:
        _download(trunk, path)
    except (OSError, HTTPException) as error:
        return None, f"{path}: not there, and its download failed ({error})"
    return path, ""


def _download(trunk: Trunk, path: Path) -> None:
    url = _DOWNLOADS + trunk.file
    with urlopen(url, timeout=_DOWNLOAD_TIMEOUT_SECONDS) as response:  # noqa: S310 always https
        content = response.read()
    digest = sha256(content).hexdigest()
    if not trunk.is_official(digest):
        raise CorruptCheckpointError(f"{url}: what came has sha256 {digest[:8]}...")
    with atomic_write(path) as stream:
        stream.write(content)


def empty_model(net: str) -> Any:
    """Build the package's module with empty weights, which draws no random numbers."""
    import lpips  # late: takes seconds, for torchvision and scipy come with it

    with warnings.catch_warnings(), torch.device("meta"):
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        return lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)


def fill(model: Any, net: str, trunk_state: Mapping[str, Tensor]) -> None:
    """Set all weights of the model: trunk, learned channel weights and scaling."""
    import lpips

    file = Path(lpips.__file__).parent / "weights" / f"v{VERSION}" / f"{net}.pth"
    channel_weights = torch.load(file, map_location="cpu", weights_only=True)
    state = {f"net.{key}": value for key, value in trunk_state.items()}
    for key, value in lpips.ScalingLayer().state_dict().items():
        state[f"scaling_layer.{key}"] = value
    for key, value in channel_weights.items():
        state[key] = value
        state[key.replace("lin", "lins.", 1)] = value  # the module holds each under two names
    model.load_state_dict(state, assign=True)
    model.requires_grad_(requires_grad=False).eval()


def _random(net: str, reason: str) -> TrunkWeights:
    """Draw a trunk's weights, uniform with variance 2 / fan_in (He et al. 2015), biases zero.

    From one fixed seed, by operations that round alike on all machines.
    """
    draws = generator(0)
    state = {}
    for key, like in empty_model(net).net.state_dict().items():
        state[key] = torch.zeros(like.shape)
        if like.ndim > 1:
            bound = (6 / like[0].numel()) ** 0.5
            state[key] = (2 * torch.rand(like.shape, generator=draws) - 1) * bound
    digest = sha256(b"".join(value.numpy().tobytes() for value in state.values())).hexdigest()
    return TrunkWeights(score="lpips_random", sha256=digest, reason=reason, state=state)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: no such file of LPIPS weights") from error
    except OSError as error:
        raise CorruptCheckpointError(f"{path}: cannot be read ({error})") from error


def _parse(path: Path, content: bytes) -> dict[str, Tensor]:
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


def _trunk_state(net: str, path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pick the trunk's tensors, all of them, by torchvision's names.

    The package's ``slice2.3.weight`` is torchvision's ``features.3.weight``; the classifier on top
    is not used.
    """
    shapes = {key: v.shape for key, v in state.items() if not key.startswith("classifier.")}
    if shapes != _torchvision_shapes(net):
        fitting = [other for other in TRUNKS if shapes == _torchvision_shapes(other)]
        hint = f"of {fitting[0]}: choose net={fitting[0]!r}" if fitting else "of no known trunk"
        raise ForeignCheckpointError(f"{path}: weights are not of {net}, but {hint}")
    for key in shapes:
        if not torch.isfinite(state[key]).all():
            raise CorruptCheckpointError(f"{path}: {key} is not finite")
    keys = empty_model(net).net.state_dict()
    return {key: state[_torchvision_key(key)].float() for key in keys}


def _torchvision_shapes(net: str) -> dict[str, torch.Size]:
    state = empty_model(net).net.state_dict()
    return {_torchvision_key(key): value.shape for key, value in state.items()}


def _torchvision_key(key: str) -> str:
    return f"features.{key.partition('.')[2]}"
