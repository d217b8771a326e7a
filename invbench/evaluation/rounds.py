"""One image a round: observe, draw its samples, score them before the next image's are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from invbench.evaluation.sampling import draw
from invbench.evaluation.scoring import ImageScores, score_image
from invbench.images import from_uint8
from invbench.machine import peak_allocated_bytes, synchronized_clock
from invbench.problems import get_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.data import Photo
    from invbench.metrics import Metric
    from invbench.models import Case, Sampler
    from invbench.uncertainty import Rule


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a case is measured.

    Attributes:
        n_samples: K, samples an image.
        chunk_size: samples drawn in one call of the sampler.
        seed: root seed.
        device: where the sampler and its observations are.
        dtype: "float32", or "bfloat16" to sample under autocast.
        rule: of the interval's quantiles; `linear` is the study's.
    """

    n_samples: int
    chunk_size: int
    seed: int = 0
    device: torch.device = torch.device("cpu")
    dtype: str = "float32"
    rule: Rule = "linear"


class Stream:
    """Walks through the images: prepares one, samples it, and scores it before the next."""

    def __init__(
        self,
        case: Case,
        sampler: Sampler,
        photos: Sequence[Photo],
        settings: Settings,
        metrics: Sequence[Metric],
    ) -> None:
        self.task = get_task(case.task)
        self.sampler = sampler
        self.photos = photos
        self.settings = settings
        self.metrics = metrics
        self.index = -1
        self.samples: Tensor | None = None
        self.observation = torch.empty(0)
        self.done: list[ImageScores] = []
        self.seconds: list[float] = []

    @property
    def finished(self) -> bool:
        """Tell whether every image has been drawn."""
        return len(self.done) + (self.samples is not None) == len(self.photos)

    def warm_up(self) -> int | None:
        """Draw the first image untimed; return the memory that took on a GPU."""
        self._observe(0)
        with peak_allocated_bytes(self.settings.device) as peak:
            self._draw(0)
        return peak()

    def next_image(self) -> None:
        """Score what was drawn, and make the next image's observation."""
        self._score()
        self.index += 1
        self._observe(self.index)

    def sample(self) -> None:
        """Draw the samples of this round's image, and time that."""
        start = synchronized_clock()
        self.samples = self._draw(self.index)
        self.seconds.append(synchronized_clock() - start)

    def scores(self) -> list[ImageScores]:
        """Score what is left, and return the scores of all images."""
        self._score()
        return self.done

    def _observe(self, index: int) -> None:
        self.target = from_uint8(self.photos[index].pixels.to(self.settings.device))
        self.observation = self.task.operator(self.target)

    def _draw(self, index: int) -> Tensor:
        settings = self.settings
        with torch.autocast(
            settings.device.type, torch.bfloat16, enabled=settings.dtype == "bfloat16"
        ):
            samples = draw(
                self.sampler,
                self.observation[None],
                task=self.task.name,
                image_ids=[self.photos[index].id],
                size=(self.target.shape[-2], self.target.shape[-1]),
                n_samples=settings.n_samples,
                seed=settings.seed,
                chunk_size=settings.chunk_size,
            )
        return samples[0]

    def _score(self) -> None:
        if self.samples is None:
            return
        self.done.append(
            score_image(
                self.samples,
                self.observation,
                operator=self.task.operator,
                metrics=self.metrics,
                target=self.target,
                rule=self.settings.rule,
            )
        )
        self.samples = None
