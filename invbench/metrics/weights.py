"""The weights of LPIPS: shipped, read from a file or torch's cache, downloaded, or drawn at random.

AlexNet's five convolutions come with the package (``alexnet-features.safetensors``, torchvision's,
under the licence beside it), so that the usual LPIPS needs no download.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from invbench.errors import (
    CorruptCheckpointError,
    ForeignCheckpointError,
    UnknownNameError,
)
from invbench.files import require_regular
from invbench.networks.weight_files import read_tensors, require_weights
from invbench.seeding import generator

if TYPE_CHECKING:
    from torch import Tensor

Net = Literal["alex", "vgg", "squeeze"]

VERSION = "0.1"
SHIPPED = {"alex": Path(__file__).with_name("alexnet-features.safetensors")}
_DOWNLOADS = "https://download.pytorch.org/models/"

# Names of scores by `tensor_digest` of the trunk, whatever file it came in.
_KNOWN_TENSORS = {
    "276812cc7430109e87ad2847e4409809bf867956c8a5e9621ae88a1bfcb08e76": "lpips",
    "8fdac5e520dece2472e8498702f69b8ec36877a147153b71e9334e4c8a6ec56b": "lpips_squeeze_fp16",
}


@dataclass(frozen=True)
class Trunk:
    """A classification network whose features LPIPS compares.

    Attributes:
        score: name of a score made with the official weights.
        smallest_side: of an image that still reaches the last feature, in pixels.
        file: torchvision's name for its weights.
        sha256: of that file.
    """

    score: str
    smallest_side: int
    file: str
    sha256: str


TRUNKS = {
    "alex": Trunk(
        "lpips",
        31,
        "alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    ),
    "vgg": Trunk(
        "lpips_vgg",
        16,
        "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    ),
    "squeeze": Trunk(
        "lpips_squeeze",
        17,
        "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    ),
}


@dataclass(frozen=True, kw_only=True)
class TrunkWeights:
    """A trunk's weights, and the name of the score made with them.

    Attributes:
        score: name of the score made with them.
        reason: why they are random; empty if they are not.
        state: by the names of the package's trunk, float32.
    """

    score: str
    reason: str = ""
    state: dict[str, Tensor] = field(repr=False)

    @property
    def sha256(self) -> str:
        """Return the digest of the values, see `tensor_digest`."""
        return tensor_digest(self.state)


LPIPS_NAMES = (
    *(trunk.score for trunk in TRUNKS.values()),
    *("lpips_squeeze_fp16", "lpips_custom", "lpips_random"),
)
"""Every name that a score may have, by the weights that it was made with."""


def load_trunk(net: str, path: Path | None = None, *, offline: bool) -> TrunkWeights:
    """Read a trunk's weights from ``path``, or else from where `load_lpips` says.

    Raises:
        UnknownNameError: for another trunk.
        MissingDataError: if ``path`` names no file.
        CorruptCheckpointError: if the file cannot be read, is not finite, or lies in torch's cache
            under a name that promises another one.
        ForeignCheckpointError: if the weights are of another network.
    """
    if net not in TRUNKS:
        raise UnknownNameError.among("LPIPS trunk", net, TRUNKS)
    if path or net in SHIPPED:
        return _from_file(net, path or SHIPPED[net])
    official, reason = _official_file(TRUNKS[net], offline=offline)
    return _from_file(net, official, cached=True) if official else _random(net, reason)


def tensor_digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of float32 tensors' values, in the order of torchvision's sorted names.

    The package's and torchvision's names of a trunk's tensors give the same digest.
    """
    digest = sha256()
    for key in sorted(state, key=_torchvision_key):
        digest.update(state[key].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _from_file(net: str, path: Path, *, cached: bool = False) -> TrunkWeights:
    require_regular(path, CorruptCheckpointError, hint=" of LPIPS weights")
    trunk = TRUNKS[net]
    try:
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CorruptCheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if cached and digest != trunk.sha256:
        raise CorruptCheckpointError(
            f"{path}: has sha256 {digest[:8]}..., against its name; delete the file"
        )
    state = _trunk_state(net, path, read_tensors(path))
    other = trunk.score if digest == trunk.sha256 else "lpips_custom"
    return TrunkWeights(score=_KNOWN_TENSORS.get(tensor_digest(state), other), state=state)


def _official_file(trunk: Trunk, *, offline: bool) -> tuple[Path | None, str]:
    """Return torchvision's file from the cache or a download, or None and why there is none."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / trunk.file
    if os.path.isfile(path):  # noqa: PTH113  false, too, in a home that may not be entered
        return path, ""
    if offline:
        return None, f"{path}: not there, and downloads are off"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            _DOWNLOADS + trunk.file, str(path), hash_prefix=trunk.sha256, progress=False
        )
    except (OSError, HTTPException, RuntimeError) as error:
        return None, f"{path}: not there, and its download failed ({error})"
    return path, ""


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
        state[key] = torch.zeros(like.shape, dtype=torch.float32, device="cpu")
        if like.ndim > 1:
            bound = (6 / like[0].numel()) ** 0.5
            state[key] = (
                2 * torch.rand(like.shape, generator=draws, dtype=torch.float32, device="cpu") - 1
            ) * bound
    return TrunkWeights(score="lpips_random", reason=reason, state=state)


def _trunk_state(net: str, path: Path, state: Any) -> dict[str, Tensor]:
    """Pick the trunk's tensors, all of them, by torchvision's names.

    The package's ``slice2.3.weight`` is torchvision's ``features.3.weight``; the classifier on top
    is not used.
    """
    named = isinstance(state, Mapping) and all(isinstance(v, torch.Tensor) for v in state.values())
    if not (named and all(isinstance(key, str) for key in state)):
        raise ForeignCheckpointError(f"{path}: does not hold a flat dictionary of tensors")
    shapes = {key: v.shape for key, v in state.items() if not key.startswith("classifier.")}
    if shapes != _torchvision_shapes(net):
        fitting = [other for other in TRUNKS if shapes == _torchvision_shapes(other)]
        hint = f"of {fitting[0]}: choose net={fitting[0]!r}" if fitting else "of no known trunk"
        raise ForeignCheckpointError(f"{path}: weights are not of {net}, but {hint}")
    require_weights({key: state[key] for key in shapes}, path)
    keys = empty_model(net).net.state_dict()
    return {key: state[_torchvision_key(key)].float() for key in keys}


def _torchvision_shapes(net: str) -> dict[str, torch.Size]:
    state = empty_model(net).net.state_dict()
    return {_torchvision_key(key): value.shape for key, value in state.items()}


def _torchvision_key(key: str) -> str:
    """Return torchvision's name for the package's ``slice2.3.weight``, ``features.3.weight``."""
    return f"features.{key.partition('.')[2]}"
