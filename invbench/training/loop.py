"""The one training loop: steps until the budget is spent, and survives being killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping  # noqa: TC003  `build` asks for the types of fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from tqdm.auto import tqdm

from invbench.errors import (
    CorruptCheckpointError,
    InvbenchError,
)
from invbench.files import atomic_write, is_there
from invbench.networks.weight_files import read_tensors
from invbench.runs.typed_json import build
from invbench.training.logs import append_line, cut_log, read_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from invbench.training.budget import Budget


VALIDATION_SHARE = 0.25
"""No validation begins, but for the last, while those before took more of the time of training."""


SILENT_SECONDS = 300.0
"""Where no bar is drawn, a line is printed at the next hundredth of the budget after this time."""

CROWDED_SECONDS = 30.0
"""A tenth of the budget that is completed sooner after a line than this gets none of its own."""


class DivergedError(InvbenchError, ArithmeticError):
    """A loss is no longer a finite number."""


class Learner(Protocol):
    """A method that learns. All its state, randomness included, is in its state dict."""

    @property
    def network(self) -> nn.Module:
        """The network to sample with and to ship (an average of weights where one is kept)."""

    def step(self, progress: float) -> dict[str, float]:
        """Take one step and return its losses; ``progress`` is the part of the budget spent."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that continues the run."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""


@dataclass(frozen=True)
class Start:
    """What a learner's weights have behind them before its run begins.

    Attributes:
        steps: taken.
        minutes: of computing.
        weights: the file that they were read from and the start of its SHA-256; empty for weights
            that were drawn at random.
    """

    steps: int = 0
    minutes: float = 0.0
    weights: str = ""


@dataclass(frozen=True)
class Outcome:
    """How far a run got, with its last validation scores, and the weights that it began with."""

    steps: int
    minutes: float
    scores: Mapping[str, float]
    start: str = ""


def train(
    learner: Learner,
    budget: Budget,
    *,
    folder: Path,
    start: Start | None = None,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    validations: int = 10,
    save_every_seconds: float = 60.0,
    first_save_seconds: float = 5.0,
    device: torch.device | str = "cpu",
) -> Outcome:
    """Run a learner through its budget, continuing from ``folder/state.pt`` if it is there.

    ``folder/log.jsonl`` gets a line for every hundredth of the budget, and for each validation.

    Args:
        learner: what is trained.
        budget: when to stop.
        folder: where state and log go.
        start: what counts as done where there is no state yet; nothing by default.
        validate: scores the network, the last time at the end.
        validations: how often; fewer where they take long, see `VALIDATION_SHARE`.
        save_every_seconds: time between two saves of the state; a kill loses at most this.
        first_save_seconds: time before the first.
        device: for the clock, see `Budget`.

    Raises:
        DivergedError: if a loss is not finite; the last saved state is older.
        CorruptCheckpointError: if the state cannot be read.
        StorageError: if state or log cannot be written.
    """
    state = _resume(learner, folder, start or Start())
    run = _Run(learner, budget, folder, _clock(device), validations, state)
    if run.spent >= 1:
        sys.stderr.write(f"{folder.name}: nothing is left of its budget; give more to train on\n")
    next_save = time.monotonic() + min(first_save_seconds, save_every_seconds)
    while run.spent < 1:
        if run.step() and validate and run.validation_is_due():
            run.score(validate)
        if time.monotonic() > next_save:
            run.save()
            next_save = time.monotonic() + save_every_seconds
    run.progress.close()
    run.save()
    state = run.state
    return Outcome(state["step"], state["minutes"], state["scores"], state["start"])


class _Run:
    """A learner on its way through a budget; ``state`` is what is saved beside the learner's."""

    def __init__(
        self,
        learner: Learner,
        budget: Budget,
        folder: Path,
        clock: Callable[[], float],
        validations: int,
        state: dict[str, Any],
    ) -> None:
        self.learner = learner
        self.budget = budget
        self.folder = folder
        self.clock = clock
        self.validations = validations
        self.state = state
        # A budget larger than the one that was saved with makes the run younger than it was
        self.state["percent"] = int(100 * self.spent)
        self.state["validated"] = self.state["percent"] * validations // 100
        self.start = clock() - 60 * self.state["minutes"]
        self.losses: list[dict[str, float]] = []
        self.progress = _Progress(folder.name, self.state["percent"])

    @property
    def spent(self) -> float:
        """The part of the budget that is spent."""
        return self.budget.progress(self.state["step"], self.state["minutes"])

    def step(self) -> bool:
        """Take a step, and tell whether it completed another hundredth, which is then logged."""
        state = self.state
        self.losses.append(self.learner.step(self.spent))
        _require_finite(self.losses[-1], state["step"], self.folder)
        state["step"] += 1
        state["minutes"] = (self.clock() - self.start) / 60
        percent = int(100 * self.spent)
        if percent == state["percent"]:
            return False
        line = {**_facts(state), **_mean(self.losses)}
        append_line(self.folder, line)
        self.progress.show(percent, {**line, **state["scores"]})
        state["percent"], self.losses = percent, []
        return True

    def validation_is_due(self) -> bool:
        """Tell whether it is time for a validation, and what those before took allows one."""
        state = self.state
        due: bool = state["percent"] * self.validations // 100 > state["validated"]
        affordable: bool = state["validating"] <= VALIDATION_SHARE * state["minutes"]
        return due and (affordable or state["percent"] == 100)

    def score(self, validate: Callable[[nn.Module], Mapping[str, float]]) -> None:
        """Validate and log the scores; the time this takes does not count as training."""
        state, began = self.state, self.clock()
        state["validated"] = state["percent"] * self.validations // 100
        state["scores"] = dict(validate(self.learner.network))
        state["validating"] += (self.clock() - began) / 60
        append_line(self.folder, {**_facts(state), **state["scores"]})
        self.start = self.clock() - 60 * state["minutes"]

    def save(self) -> None:
        """Save all that continues the run, and how much of the log belongs to it."""
        log = self.folder / "log.jsonl"
        self.state["log"] = log.stat().st_size if is_there(log) else 0
        with atomic_write(self.folder / "state.pt") as stream:
            try:
                torch.save({"learner": self.learner.state_dict(), "loop": self.state}, stream)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # of the stream, which torch hides
                    raise error.__context__ from error
                raise


class _Progress:
    """Show how far a run is: by a bar in a terminal, elsewhere by a line now and then."""

    def __init__(self, name: str, percent: int) -> None:
        self.name = name
        self.percent = percent
        self.said = time.monotonic()
        self.bar = tqdm(total=100, desc=name, unit="%", disable=None, initial=percent)

    def show(self, percent: int, facts: Mapping[str, float]) -> None:
        """Tell that a run is at ``percent``."""
        self.bar.update(percent - self.percent)
        self.bar.set_postfix(facts)
        silent = time.monotonic() - self.said
        tenth = percent // 10 > self.percent // 10 and silent > CROWDED_SECONDS
        if self.bar.disable and (tenth or silent > SILENT_SECONDS):
            self.said = time.monotonic()
            values = " ".join(f"{name} {value:.4g}" for name, value in facts.items())
            sys.stderr.write(f"{self.name} {percent} %: {values}\n")
            sys.stderr.flush()
        self.percent = percent

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """What of a state is not the learner's."""

    step: int
    minutes: float
    percent: int
    scores: Mapping[str, float]
    log: int
    validated: int = 0
    validating: float = 0.0
    start: str = ""


def _resume(learner: Learner, folder: Path, start: Start) -> dict[str, Any]:
    path = folder / "state.pt"
    state: dict[str, Any] = {"step": start.steps, "minutes": start.minutes, "start": start.weights}
    state |= {"percent": 0, "scores": {}, "log": 0, "validated": 0, "validating": 0.0}
    log = folder / "log.jsonl"
    if not is_there(path):
        log.unlink(missing_ok=True)
        return state
    try:
        saved = read_tensors(path)
        build(_Saved, saved["loop"])
        learner.load_state_dict(saved["learner"])
    except Exception as error:  # a learner finds anything in a state that is not its own
        raise CorruptCheckpointError(
            f"{path}: cannot be continued ({error}); delete it to start afresh"
        ) from error
    state |= saved["loop"]
    cut_log(folder, state["log"])  # what was logged after the save: those steps are taken again
    read_log(folder)  # what is wrong with it is said before any step
    return state


def _clock(device: torch.device | str) -> Callable[[], float]:
    if torch.device(device).type == "cpu":
        return lambda: time.process_time() / torch.get_num_threads()
    return time.monotonic


def _require_finite(losses: Mapping[str, float], step: int, folder: Path) -> None:
    bad = [name for name, value in losses.items() if not abs(value) < float("inf")]
    if bad:
        raise DivergedError(
            f"{folder.name}: {', '.join(bad)} not finite at step {step}; lower the learning rate"
        )


def _mean(losses: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(loss[name] for loss in losses) / len(losses) for name in losses[-1]}


def _facts(state: Mapping[str, Any]) -> dict[str, float]:
    return {"step": state["step"], "minutes": round(state["minutes"], 3)}
