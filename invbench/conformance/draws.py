"""All samples that a check of a sampler looks at, drawn as the suite draws them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch

from invbench.conformance.effects import seed_everything
from invbench.errors import InvalidSamplesError
from invbench.evaluation.contract import Evidence, draw_in_other_batches, features
from invbench.evaluation.sampling import draw_rows
from invbench.machine import bytes_in_use, saved_by_repeating, synchronized_clock
from invbench.runs import NOTICEABLE
from invbench.uncertainty import duplicate_fraction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from invbench.conformance.recorder import Recorder
    from invbench.evaluation import Observed, Settings

ROWS = 4  # samples drawn in one call; of as many images, to see what rows have in common
DISTINCT = 16  # samples of one image that must differ


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """Samples that were drawn to be compared.

    Attributes:
        evidence: of one image, samples that were drawn twice in one state of the global generators;
            of four images what their rows have in common.
        reseeded: the same once more, in another state of the global generators.
        batches: the same in other batches, see `contract.Evidence.batched`; the first are the same
            rows in reverse order.
        others: of the same image, from other generators.
        crossed: of another image, from the first one's generators.
        first_s: seconds of the first call.
        later_s: of each call with inputs that were new.
        growth: bytes that each of these left behind; empty where nobody counts them.
        saved: share of a call's time that a repeated input saves.
    """

    evidence: Evidence
    reseeded: Tensor
    batches: Sequence[Mapping[int, Tensor] | Exception]
    others: Tensor
    crossed: Tensor
    first_s: float
    later_s: Sequence[float]
    growth: Sequence[int]
    saved: float


def draw_all(
    sampler: Recorder, images: Sequence[Observed], settings: Settings, *, stochastic: bool
) -> Draws:
    """Draw some 55 samples in 14 calls.

    Args:
        sampler: in its first call.
        images: four of one problem.
        settings: how samples are drawn; `ROWS` of them in a call.
        stochastic: whether samples of one observation are meant to differ.

    Raises:
        InvalidSamplesError: if what the sampler returned are no samples.
        Exception: whatever else it raises, but for batches of another size or order.
    """
    a, b, *_ = images
    draw = _Drawing(sampler, settings)
    same = partial(draw.rows, a)
    start = synchronized_clock()
    first = _seeded(1, same)
    first_s = synchronized_clock() - start
    again, reseeded = _seeded(1, same), _seeded(2, same)
    batches = [
        _in_batch(lambda: same(ks=range(ROWS - 1, -1, -1)), range(ROWS - 1, -1, -1)),
        _refuse_invalid(draw_in_other_batches(sampler, a, b, settings)),
        _in_batch(lambda: same(ks=[1]), [1]),
    ]
    later = [draw.fresh(a, k) for k in range(ROWS, DISTINCT, ROWS)]
    of_images = [features(first), *(features(draw.fresh(image)) for image in images[1:])]
    many = torch.cat([first, *later])
    distinct = len(many) - round(float(duplicate_fraction(many)) * len(many))
    return Draws(
        evidence=Evidence(
            image_id=a.image_id,
            samples=first,
            again=again,
            touched=(),
            batched={},
            features=np.stack(of_images),
            distinct={a.image_id: distinct},
            stochastic=stochastic,
        ),
        reseeded=reseeded,
        batches=batches,
        others=later[0],
        crossed=draw.rows(replace(b, image_id=a.image_id)),
        first_s=first_s,
        later_s=draw.seconds,
        growth=draw.growth,
        saved=saved_by_repeating(same, draw.never_seen(a), draw.seconds, noticeable=NOTICEABLE),
    )


class _Drawing:
    """Draws rows of single images; times those that are new and weighs what they leave behind."""

    def __init__(self, sampler: Recorder, settings: Settings) -> None:
        self.seconds: list[float] = []
        self.growth: list[int] = []
        self._sampler, self._settings = sampler, settings

    def rows(self, image: Observed, ks: Sequence[int] = range(ROWS)) -> Tensor:
        """Draw some samples of an image in one call."""
        return draw_rows(self._sampler, [image], [(0, k) for k in ks], self._settings)

    def fresh(self, image: Observed, first: int = 0) -> Tensor:
        """Draw samples that were never drawn before."""
        before, start = bytes_in_use(self._settings.device), synchronized_clock()
        samples = self.rows(image, range(first, first + ROWS))
        self.seconds.append(synchronized_clock() - start)
        after = bytes_in_use(self._settings.device)
        if before is not None and after is not None:
            self.growth.append(after - before - samples.nbytes)
        return samples

    def never_seen(self, image: Observed) -> Callable[[], Tensor]:
        """Return a function that draws other samples at every call."""
        starts: Iterator[int] = count(DISTINCT, ROWS)
        return lambda: self.rows(image, range(start := next(starts), start + ROWS))


def _seeded(seed: int, draw: Callable[[], Tensor]) -> Tensor:
    """Draw with all global generators in a given state."""
    seed_everything(seed)
    return draw()


def _in_batch(draw: Callable[[], Tensor], ks: Sequence[int]) -> Mapping[int, Tensor] | Exception:
    """Return samples by their k, or whatever the sampler raised on such a batch."""
    try:
        return dict(zip(ks, draw(), strict=True))
    except Exception as error:  # noqa: BLE001  the finding
        return _refuse_invalid(error)


def _refuse_invalid(drawn: Mapping[int, Tensor] | Exception) -> Mapping[int, Tensor] | Exception:
    """Raise the error that says that no samples were returned: no batch excuses that."""
    if isinstance(drawn, InvalidSamplesError):
        raise drawn
    return drawn
