"""The published sampler of NDM: 2000 network evaluations, alternating two kinds of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.models.multispeed import Reversal, VarianceExploding

_LAST_TIME = 1e-5


@dataclass(frozen=True, kw_only=True)
class PredictorCorrector:
    r"""Alternate a Langevin step and a reverse diffusion step at every time, as published.

    With the score s of the image x beside the diffused observation y, and fresh noise z, the
    corrector stays at its time and the predictor removes the variance :math:`G^2`:

    .. math::
        x &\leftarrow x + e \, s(x, y) + \sqrt{2 e} \, z,
            \qquad e = 2 \, (\mathrm{snr} \, \|z\| / \|s\|)^2 \\
        x &\leftarrow x + G^2 s(x, y) + G \, z

    Attributes:
        steps: times; each costs two network evaluations.
        corrector: whether to take the Langevin steps at all.
        snr: size of the Langevin step, as the ratio of its drift's norm to its noise's.
        norm: over what those norms are averaged. "batch" is published, and makes a sample depend
            on the others of its batch; "image" takes each image's own.
        path: follow one path of the diffused observation backwards, instead of diffusing it
            afresh for every score. The predictor then comes before the corrector.
        official: take the increments of a grid of ``scales`` whatever the number of steps, as the
            published code does: with 10 steps for 1000 scales images never lose their noise.
        scales: of that grid.
    """

    steps: int = 1000
    corrector: bool = True
    snr: float = 0.15
    norm: Literal["image", "batch"] = "image"
    path: bool = False
    official: bool = False
    scales: int = 1000

    @property
    def nfe(self) -> int:
        """Network evaluations a sample."""
        return self.steps * (1 + self.corrector)

    @torch.no_grad()
    def sample(self, reversal: Reversal) -> Tensor:
        """Sample images ``[N, 3, H, W]`` in [0, 1] or a little beyond.

        The order of draws is: the start; then for each time the observation's and the image's,
        first of the corrector, then of the predictor. With ``path``: the start and the path's;
        then for each time the observation's, the predictor's and the corrector's.

        Returns:
            The mean of the last step, without its noise.
        """
        times = torch.linspace(1, _LAST_TIME, self.steps, dtype=torch.float32, device="cpu")
        increments = self._increments(times, reversal.image)
        x = mean = reversal.start(reversal.image.sigma_max)
        if self.path:
            interval = (1 - _LAST_TIME) / (self.steps - 1)
            y = reversal.beside(1 + interval)

        for time, increment in zip(times.tolist(), increments, strict=True):
            if self.path:
                # Follow the path of the observation back to this time, then step
                weight, std = reversal.diffused.bridge(time, time + interval)
                y = weight * reversal.observation + (1 - weight) * y
                y = y + std * reversal.observation_noise()
                x, mean = _predict(reversal, x, y, time, increment)
                if self.corrector:
                    x, mean = self._correct(reversal, x, y, time)
            else:
                # Diffuse the observation afresh for each step; the published code does so too
                # for a corrector that is switched off
                y = reversal.beside(time)
                if self.corrector:
                    x, mean = self._correct(reversal, x, y, time)
                x, mean = _predict(reversal, x, reversal.beside(time), time, increment)
        return mean

    def _increments(self, times: Tensor, image: VarianceExploding) -> list[float]:
        """Return G squared, the variance that the predictor removes, at each time."""
        if not self.official:
            return image.increments(self.steps)[::-1]
        increments = image.increments(self.scales)
        return [increments[index] for index in (times * (self.scales - 1)).long()]

    def _correct(
        self, reversal: Reversal, x: Tensor, y: Tensor, time: float
    ) -> tuple[Tensor, Tensor]:
        """Take one Langevin step; return the new images and their mean."""
        score = reversal.score(x, y, time)
        z = reversal.noise(x.shape[1:])
        lengths = [part.flatten(1).norm(dim=1) for part in (z, score)]
        if self.norm == "batch":
            lengths = [length.mean(0, keepdim=True) for length in lengths]
        e = (2 * (self.snr * lengths[0] / lengths[1]) ** 2)[:, None, None, None]
        mean = x + e * score
        return mean + (2 * e).sqrt() * z, mean


def _predict(
    reversal: Reversal, x: Tensor, y: Tensor, time: float, increment: float
) -> tuple[Tensor, Tensor]:
    """Take one step of reverse diffusion; return the new images and their mean."""
    mean = x + increment * reversal.score(x, y, time)
    return mean + math.sqrt(increment) * reversal.noise(x.shape[1:]), mean
