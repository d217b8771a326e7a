"""What was seen of a sampler: how it loads, what each call does, and its samples."""

from __future__ import annotations

import gc
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from invbench.conformance.draws import ROWS, Draws, draw_all
from invbench.conformance.effects import Effects, watched
from invbench.conformance.recorder import Call, Recorder
from invbench.errors import InvalidSamplesError, UnknownNameError, UnsupportedProblemError
from invbench.evaluation import Settings, observe
from invbench.machine import synchronized_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from invbench.data import Photo
    from invbench.evaluation import Subject
    from invbench.problems import Problem

PHOTOS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """What was seen of a sampler.

    Attributes:
        problem: that it was built for.
        device: where it should be.
        loading: what its factory did to the process.
        loading_s: the seconds that this took.
        subject: the sampler, or what the factory raised.
        calls: what each call did besides sampling.
        drawn: the samples, or what was raised instead.
    """

    problem: Problem
    device: torch.device
    loading: Effects
    loading_s: float
    subject: Subject | Exception
    calls: Sequence[Call]
    drawn: Draws | Exception

    @property
    def draws(self) -> Draws:
        """Return the samples, of which others have found that they are there."""
        assert isinstance(self.drawn, Draws)
        return self.drawn

    @property
    def broken_rule(self) -> str:
        """Return which rule of a batch was broken; whatever a sampler raises is no tensor."""
        if isinstance(self.drawn, Draws):
            return ""
        known = isinstance(self.drawn, InvalidSamplesError) and self.drawn.rule
        return known or "tensor"


def sample(
    build: Callable[[Problem, torch.device], Subject],
    problem: Problem,
    photos: Sequence[Photo],
    device: torch.device,
) -> Sampled:
    """Build a sampler and draw from it; see `samplers.check_sampler`."""
    start = synchronized_clock()
    subject: Subject | Exception
    with watched() as loading:
        try:
            subject = build(problem, device)
        except (UnsupportedProblemError, UnknownNameError):
            raise
        except Exception as error:  # noqa: BLE001  a factory may raise anything
            subject = error
    sampled = Sampled(
        problem=problem,
        device=device,
        loading=loading,
        loading_s=synchronized_clock() - start,
        subject=subject,
        calls=(),
        drawn=InvalidSamplesError("there is no sampler"),
    )
    if isinstance(subject, Exception):
        return sampled
    recorder = Recorder(subject.sampler)
    images = [observe(photo, problem, device) for photo in photos[:PHOTOS]]
    if problem.linear:  # what torch loads for it, once, is no work of the sampler's
        with suppress(Exception):  # nor are its faults, which are for the check of a task
            problem.linear.adjoint(images[0].observation)
    settings = Settings(n_samples=ROWS, chunk_size=ROWS, device=device)
    drawn: Draws | Exception
    gc.freeze()  # what is there by now need not be searched for garbage again and again
    try:
        drawn = draw_all(recorder, images, settings, stochastic=subject.stochastic)
    except Exception as error:  # noqa: BLE001  neither is a sampler's error one of ours
        drawn = error
    finally:
        gc.unfreeze()
    return replace(sampled, calls=recorder.calls, drawn=drawn)
