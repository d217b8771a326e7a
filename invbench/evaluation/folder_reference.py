"""The reference sampler's scores on images that lie on disk, for the skill of others' samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.evaluation.experiment import Settings
from invbench.evaluation.sampling import Observed
from invbench.evaluation.skill import joined, reference_row
from invbench.images import from_uint8
from invbench.models import has_reference, reference_sampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from invbench.evaluation.partners import Partners, Question
    from invbench.evaluation.skill import ReferenceScores
    from invbench.models import Sampler
    from invbench.problems import Problem

CHUNK_SIZE = 10  # samples drawn at once


class FolderReference:
    """Scores the reference on each image once, whatever the number of models.

    It is given the observations that lie on disk, as the others were, and draws as many samples;
    on photographs of the suite's its samples are the suite's own.
    """

    def __init__(self, question: Question, partners: Partners) -> None:
        self._question, self._partners = question, partners
        self._samplers: dict[tuple[int, int], tuple[Problem, Sampler | None]] = {}
        self._rows: dict[tuple[str, int], Mapping[str, float] | None] = {}

    def scores(self, image_ids: Iterable[str], n_samples: int) -> ReferenceScores | None:
        """Return the reference's scores on some images.

        Args:
            image_ids: at least one.
            n_samples: that are drawn of each.

        Returns:
            None if nobody asked, without targets, for a single sample, or if the task has no
            reference at the size of one of the images.
        """
        if not (self._question.skill and self._partners.targets) or n_samples < 2:
            return None
        return joined(self._row(image_id, n_samples) for image_id in image_ids)

    def _row(self, image_id: str, n_samples: int) -> Mapping[str, float] | None:
        key = image_id, n_samples
        if key not in self._rows:
            self._rows[key] = self._score(image_id, n_samples)
        return self._rows[key]

    def _score(self, image_id: str, n_samples: int) -> Mapping[str, float] | None:
        device, partners = self._question.device, self._partners
        pixels = partners.targets[image_id].pixels
        problem, sampler = self._sampler((pixels.shape[-2], pixels.shape[-1]))
        if sampler is None:
            return None
        observation = from_uint8(partners.observations[image_id].pixels.to(device))
        observed = Observed(problem, image_id, from_uint8(pixels.to(device)), observation)
        settings = Settings(n_samples=n_samples, chunk_size=CHUNK_SIZE, device=device)
        return reference_row(sampler, observed, settings)

    def _sampler(self, size: tuple[int, int]) -> tuple[Problem, Sampler | None]:
        """Return the problem of a size and its reference, if it has one."""
        if size not in self._samplers:
            problem = self._question.task.problem(size)
            sampler = reference_sampler(problem) if has_reference(problem) else None
            self._samplers[size] = problem, sampler
        return self._samplers[size]
