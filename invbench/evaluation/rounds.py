"""One image a round, so that a clock sees sampling alone and memory holds one image's samples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from invbench.evaluation.contract import (
    ROUNDING,
    Evidence,
    draw_in_other_batches,
    features,
    global_states,
    touched,
)
from invbench.evaluation.pictures import Gallery, picture
from invbench.evaluation.sampling import draw_within_memory, observe
from invbench.evaluation.scoring import score_image
from invbench.images import from_uint8, to_uint8
from invbench.machine import (
    peak_allocated_bytes,
    return_freed_memory,
    saved_by_repeating,
    synchronized_clock,
)
from invbench.runs import NOTICEABLE
from invbench.uncertainty import FactorStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.evaluation.experiment import Experiment
    from invbench.evaluation.sampling import Observed
    from invbench.evaluation.scoring import ImageScores

RETURNED_AFTER_BYTES = 512 << 20  # of samples; four images of 512x512 with 50 each


class Rounds:
    """Walks through the images of an experiment, one a round.

    A round has two halves, which a clock calls in turn: `next_image`, untimed, scores the samples
    of the round before and observes the next image; `sample`, timed, draws that image's samples.
    No round before or after draws the same samples, so that a sampler that keeps results is as
    slow as it is.

    Attributes:
        seconds: of each round so far.
        first_call_s: seconds of the warm-up.
        scores: of each image so far.
        gallery: pictures of some images.
        settings: the experiment's; with a smaller chunk size once memory has run out.
    """

    def __init__(
        self, experiment: Experiment, on_image: Callable[[int, int], object] | None = None
    ) -> None:
        self.seconds: list[float] = []
        self.first_call_s = 0.0
        self.scores: list[ImageScores] = []
        self.settings = experiment.settings
        self.gallery = Gallery(self.settings.n_pictures, experiment.metrics)
        self._experiment = experiment
        self._on_image = on_image
        self._factors = FactorStore()
        self._features: NDArray[np.float64] | None = None  # of all images' samples
        self._first: Tensor | None = None  # the first image's samples, 8 bits, to compare with
        self._drawn: tuple[Observed, Tensor] | None = None  # waits to be scored
        self._observed = self._observe(0)
        self._unscored = 0
        self._kept_bytes = 0  # of samples that were scored since freed memory went back

    def warm_up(self) -> int | None:
        """Draw samples that nobody scores; return how many bytes that took on a GPU."""
        with peak_allocated_bytes(self._experiment.settings.device) as peak:
            start = synchronized_clock()
            self._draw_unscored()
            self.first_call_s = synchronized_clock() - start
        return peak()

    def next_image(self) -> None:
        """Score what was drawn last, and observe the image of this round."""
        self._score()
        self._observed = self._observe(len(self.seconds))

    def sample(self) -> None:
        """Draw the samples of this round's image, and time that."""
        start = synchronized_clock()
        samples = self._draw()
        self.seconds.append(synchronized_clock() - start)
        self._drawn = self._observed, samples

    def finish(self) -> None:
        """Go through the rounds that the clock left out, and score the last.

        A clock may stop early: pytest-benchmark runs a single round if it is disabled.
        """
        while len(self.seconds) < len(self._experiment.data.photos):
            self.next_image()
            self.sample()
        self._score()

    def repeat(self) -> tuple[float, Evidence]:
        """Draw the first image again, timed, and in other batches.

        Returns:
            The share of a new round's time that a repeated one saves, and what the checks of the
            sampler's contract look at.
        """
        experiment, last = self._experiment, self._observed
        sampler = experiment.subject.sampler
        self._observed = first = self._observe(0)
        drawn: list[Tensor] = []
        before = global_states()
        saved = saved_by_repeating(
            lambda: drawn.append(to_uint8(self._draw())),
            self._draw_unscored,
            self.seconds,
            noticeable=NOTICEABLE,
        )
        used = touched(before)
        assert self._first is not None
        assert self._features is not None
        settings = self.settings
        counts = (
            settings.n_samples - round((image.duplicate_fraction or 0) * settings.n_samples)
            for image in self.scores
        )
        ids = [photo.id for photo in experiment.data.photos]
        return saved, Evidence(
            image_id=first.image_id,
            samples=from_uint8(self._first),
            again=from_uint8(drawn[0]),
            touched=used,
            batched=draw_in_other_batches(sampler, first, last, settings),
            features=self._features,
            distinct=dict(zip(ids, counts, strict=True)),
            stochastic=experiment.subject.stochastic,
            tolerance=ROUNDING[settings.dtype],
        )

    def _observe(self, index: int) -> Observed:
        experiment = self._experiment
        photo = experiment.data.photos[index]
        return observe(photo, experiment.problem, experiment.settings.device)

    def _draw(self, first: int = 0) -> Tensor:
        samples, self.settings = draw_within_memory(
            self._experiment.subject.sampler, self._observed, self.settings, first=first
        )
        return samples

    def _draw_unscored(self) -> None:
        """Draw samples beyond the K that are scored, other ones at every call."""
        self._unscored += 1
        self._draw(self._unscored * self._experiment.settings.n_samples)

    def _other(self, observed: Observed) -> Tensor | None:
        """Return the first image after this one that is of another photograph, if there is one."""
        photos = self._experiment.data.photos
        index = next(i for i, photo in enumerate(photos) if photo.id == observed.image_id)
        for photo in (*photos[index + 1 :], *photos[:index]):
            if photo.group != photos[index].group:
                return from_uint8(photo.pixels.to(observed.target.device))
        return None

    def _score(self) -> None:
        if self._drawn is None:
            return
        (observed, samples), self._drawn = self._drawn, None
        if self._first is None:
            self._first = to_uint8(samples)
        reduced = features(samples)
        if self._features is None:  # in one block, see `return_freed_memory`
            self._features = np.empty((len(self._experiment.data.photos), *reduced.shape))
        self._features[len(self.scores)] = reduced
        settings, target = self._experiment.settings, observed.target
        self.scores.append(
            score_image(
                samples,
                observed.compared,
                operator=observed.problem.operator,
                metrics=self._experiment.metrics,
                target=target,
                other=self._other(observed),
                rule=settings.rule,
                noise_fit=self._experiment.noise_fit,
                store=self._factors,
            )
        )
        shown = (observed.image_id, samples, observed.observation, target)
        self.gallery.offer(self.scores[-1], partial(picture, *shown, rule=settings.rule))
        self._kept_bytes += samples.nbytes
        if self._kept_bytes > RETURNED_AFTER_BYTES:
            self._kept_bytes = 0
            return_freed_memory()
        if self._on_image is not None:
            self._on_image(len(self.scores), len(self._experiment.data.photos))
