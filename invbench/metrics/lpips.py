"""LPIPS (Zhang et al. 2018) of many samples against one observation.

The numbers are those of the package ``lpips``, whose trunks, scaling and learned channel weights
are used. This module differs from the package in three points: the trunk runs once on an
observation instead of once for every sample; images are in [0, 1]; the name of the score says
which weights it was made with.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from invbench.errors import CorruptCheckpointError, InvalidImagesError
from invbench.images import to_signed
from invbench.metrics.pairs import check_pair, score_each_observation
from invbench.metrics.weights import TRUNKS, VERSION, Net, empty_model, fill, load_trunk
from invbench.networks.defaults import usual_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import lpips
    from torch import Tensor

# How many pixels go through a trunk in one call; this bounds its memory. On a CPU, four images of
# 512x512 pixels.
_PIXELS_PER_CALL = {"cpu": 2**20}
_PIXELS_PER_CALL_ELSEWHERE = 2**22


@dataclass(frozen=True, eq=False, kw_only=True)
class Lpips:
    """The LPIPS distance with one set of weights; made by `load_lpips`.

    Attributes:
        name: "lpips" for the official AlexNet weights, "lpips_vgg" and "lpips_squeeze" for the
            other official ones, "lpips_squeeze_fp16" for SqueezeNet's rounded to half precision,
            "lpips_custom" for any other file, "lpips_random" for a seeded random trunk. Scores of
            different names are different metrics.
        net: the trunk, "alex", "vgg" or "squeeze".
        version: of the learned channel weights.
        backbone_sha256: of the trunk's tensors, see `weights.tensor_digest`.
        reason: why the trunk is random; empty if it is not.
        model: the package's module, on its device.
    """

    name: str
    net: str
    version: str
    backbone_sha256: str
    reason: str
    model: lpips.LPIPS = field(repr=False)

    def __call__(self, reobservations: Tensor, observation: Tensor) -> Tensor:
        r"""Return the distance of each reobservation to its observation.

        With the trunk's features of layer l at row h and column w, scaled to unit length over
        channels, and learned channel weights w_l:

        .. math::
            d(x, y) = \sum_l \frac{1}{H_l W_l} \sum_{h, w}
            w_l^\top (\hat y^l_{hw} - \hat x^l_{hw})^2

        The trunk computes in float32 even where autocast or TF32 are on. A gray image is compared
        as three equal channels; a small image is enlarged first (see `enlargement`).

        Args:
            reobservations: ``[..., K, c, h, w]``, float in [0, 1], c 1 or 3.
            observation: ``[..., c, h, w]``, float in [0, 1].

        Returns:
            float64 ``[..., K]`` on the device of ``reobservations``; 0 for identical images.

        Raises:
            InvalidImagesError: if values or shapes break the convention.
        """
        check_pair(reobservations, observation)
        if observation.shape[-3] not in (1, 3):
            raise InvalidImagesError(
                f"observation: {observation.shape[-3]} channels; LPIPS compares gray or RGB images"
            )
        with torch.no_grad(), _full_precision(self._device.type):
            scores = score_each_observation(self._scores, reobservations, observation)
        return scores.to(reobservations.device)

    @property
    def smallest_side(self) -> int:
        """The side of the smallest image that the trunk can read, in pixels."""
        return TRUNKS[self.net].smallest_side

    def enlargement(self, height: int, width: int) -> int:
        """Return the whole factor by which images are enlarged (nearest) before the trunk.

        1 unless a side is below the trunk's minimum (31 pixels for alex, 16 for vgg, 17 for
        squeeze). A record has the sizes from which it follows.
        """
        return -(-self.smallest_side // min(height, width))

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.model.scaling_layer.shift.device
        return device

    def _scores(self, samples: Tensor, reference: Tensor) -> Tensor:
        """Score samples ``[K, c, h, w]`` against one reference ``[c, h, w]``: ``[K]``.

        The reference goes through the trunk once, as the first image of the first batch.
        """
        height, width = reference.shape[-2:]
        pixels = height * width * self.enlargement(height, width) ** 2
        n_pixels = _PIXELS_PER_CALL.get(self._device.type, _PIXELS_PER_CALL_ELSEWHERE)
        batch_size = max(1, n_pixels // pixels)
        features = self._features(torch.cat([reference[None], samples[: batch_size - 1]]))
        like = [feature[:1].clone() for feature in features]
        scores = [self._distances([feature[1:] for feature in features], like)]
        for start in range(batch_size - 1, len(samples), batch_size):
            features = self._features(samples[start : start + batch_size])
            scores.append(self._distances(features, like))
        return torch.cat(scores)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Compute the trunk's features of ``[N, c, h, w]``, of unit length at every position."""
        factor = self.enlargement(*images.shape[-2:])
        images = images.to(self._device, torch.float32).expand(-1, 3, -1, -1)
        if factor > 1:
            images = images.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        scaled = self.model.scaling_layer(to_signed(images))
        features = self.model.net(scaled.contiguous(memory_format=torch.channels_last))
        return [
            feature.div_(torch.linalg.vector_norm(feature, dim=1, keepdim=True).add_(1e-10))
            for feature in features
        ]

    def _distances(self, features: list[Tensor], like: list[Tensor]) -> Tensor:
        """Compare features ``[n, C_l, H_l, W_l]`` with one image's, in place: ``[n]``."""
        weights = [linear.model[-1].weight.flatten().double() for linear in self.model.lins]
        terms = [
            feature.sub_(other).square_().mean((2, 3)).double() @ weight
            for feature, other, weight in zip(features, like, weights, strict=True)
        ]
        return torch.stack(terms).sum(0)


@contextmanager
def _full_precision(device_type: str) -> Iterator[None]:
    """Keep convolutions at float32, against autocast and TF32, for the duration of the block."""
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.mkldnn)
    convolutions = [backend.conv for backend in backends]
    before = [settings.fp32_precision for settings in convolutions]
    try:
        for settings in convolutions:
            settings.fp32_precision = "ieee"
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for settings, precision in zip(convolutions, before, strict=True):
            settings.fp32_precision = precision


@usual_defaults()
def load_lpips(
    *,
    net: Net = "alex",
    weights: Path | None = None,
    offline: bool = False,
    device: torch.device | str = "cpu",
) -> Lpips:
    """Build the LPIPS distance from the best weights that are available, and name it after them.

    The trunk's weights are taken from the file ``weights`` if one is given. Otherwise AlexNet's
    come with this package, and those of the other trunks are torchvision's file in torch's cache
    (below ``TORCH_HOME``), or a download into that cache, unless ``offline``. If there is neither,
    the weights are drawn at random from a fixed seed and the score is named "lpips_random": it
    serves to compare two runs, and neither published numbers nor limits made for "lpips" apply.

    Args:
        net: the trunk.
        weights: torchvision's state of the trunk, as ``.pth`` (tensors only, no pickled code),
            ``.safetensors`` or ``.npz``.
        offline: whether downloads are forbidden.
        device: where the trunk runs.

    Raises:
        UnknownNameError: for another trunk.
        MissingDataError: if ``weights`` names no file.
        CorruptCheckpointError: if the weights cannot be read, are not finite or give no finite
            distance, or the file in torch's cache is not the one that its name promises.
        ForeignCheckpointError: if the weights are of another network.

    Example:
        >>> load_lpips(net="squeeze", offline=True).enlargement(8, 8)
        3
    """
    found = load_trunk(net, weights, offline=offline)
    model = empty_model(net)
    fill(model, net, found.state)
    model.net.to(memory_format=torch.channels_last)
    lpips = Lpips(
        name=found.score,
        net=net,
        version=VERSION,
        backbone_sha256=found.sha256,
        reason=found.reason,
        model=model.to(device),
    )
    if weights and not _of_ramps(lpips).isfinite():
        raise CorruptCheckpointError(
            f"{weights}: its numbers are so large that no distance is finite; get the file again"
        )
    return lpips


def _of_ramps(lpips: Lpips) -> Tensor:
    """Return the distance of two images that are as different as can be, and flat nowhere."""
    side = TRUNKS[lpips.net].smallest_side
    ramp = torch.linspace(0, 1, side * side, dtype=torch.float32, device="cpu")
    image = ramp.reshape(side, side).expand(3, side, side)
    return lpips(image.flip(1, 2)[None], image)[0]
