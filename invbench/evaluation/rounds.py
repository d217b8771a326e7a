"""One image a round, so that a clock sees sampling alone and memory holds one image's samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.evaluation.sampling import draw_samples, observe
from invbench.evaluation.scoring import score_image
from invbench.machine import peak_allocated_bytes, synchronized_clock

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.evaluation.experiment import Experiment
    from invbench.evaluation.sampling import Observed
    from invbench.evaluation.scoring import ImageScores


class Rounds:
    """Walks through the images of an experiment, one a round.

    A round has two halves, which a clock calls in turn: `next_image`, untimed, scores the samples
    of the round before and observes the next image; `sample`, timed, draws that image's samples.

    Attributes:
        seconds: of each round so far.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.seconds: list[float] = []
        self._experiment = experiment
        self._scores: list[ImageScores] = []
        self._drawn: tuple[Observed, Tensor] | None = None  # waits to be scored
        self._observed = self._observe(0)

    def warm_up(self) -> int | None:
        """Draw the first image's samples untimed; return how many bytes that took on a GPU."""
        with peak_allocated_bytes(self._experiment.settings.device) as peak:
            self._draw()
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

    def finish(self) -> list[ImageScores]:
        """Go through the rounds that the clock left out; return the scores of all images.

        A clock may stop early: pytest-benchmark runs a single round if it is disabled.
        """
        while len(self.seconds) < len(self._experiment.data.photos):
            self.next_image()
            self.sample()
        self._score()
        return self._scores

    def _observe(self, index: int) -> Observed:
        experiment = self._experiment
        photo = experiment.data.photos[index]
        return observe(photo, experiment.task, experiment.settings.device)

    def _draw(self) -> Tensor:
        experiment = self._experiment
        return draw_samples(experiment.subject.sampler, self._observed, experiment.settings)

    def _score(self) -> None:
        if self._drawn is None:
            return
        (observed, samples), self._drawn = self._drawn, None
        self._scores.append(
            score_image(
                samples,
                observed.observation,
                operator=observed.task.operator,
                metrics=self._experiment.metrics,
                target=observed.target,
                rule=self._experiment.settings.rule,
            )
        )
