"""Speed in fresh processes, so that chance is averaged out that one process keeps to its end.

How memory happens to be laid out speeds or slows all rounds of one process alike. Two builds of a
model are timed in turns, so that a machine that warms up or is busy for a while slows both alike.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from invbench import errors
from invbench.data import DataSet
from invbench.data.synthetic import gaussian_photos
from invbench.evaluation import Facts, Subject, draw_within_memory, observe
from invbench.machine import (
    device_key,
    gpu_clocks,
    measure,
    peak_allocated_bytes,
    saved_by_repeating,
)
from invbench.models import Case, get_method, prepare
from invbench.networks.defaults import usual_defaults
from invbench.runs import NOTICEABLE, RunRecord, TimingCase, build
from invbench.suite.description import describe
from invbench.suite.options import Options
from invbench.suite.resolve import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.evaluation import Observed, Settings
    from invbench.models import Sampler
    from invbench.problems import Problem


SECOND_LOOK = 2  # new inputs that `saved_by_repeating` may draw after the rounds


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process times.

    Attributes:
        case: model and task.
        options: what the user chose: profile, device, checkpoints and so on.
        output: folder of the run.
        rounds: timed, after one that is not.
        turn: how many processes were timed before; no two draw the same samples.
        random_weights: build the network untrained; good for speed alone.
    """

    case: Case
    options: Options
    output: Path
    rounds: int
    turn: int = 0
    random_weights: bool = False


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What processes found.

    Attributes:
        timing: the seconds of each round, and what they depend on.
        run: which command that was, and on which machine.
    """

    timing: TimingCase
    run: RunRecord


def time_in_processes(jobs: Sequence[Job], *, processes: int) -> list[Timed]:
    """Time every job in fresh processes that take turns: A B, B A, A B.

    Raises:
        ConflictingRunsError: if one job's processes ran under different conditions.
        InvbenchError: whatever a process ended with, under its own name.
    """
    parts: list[list[Timed]] = [[] for _ in jobs]
    for turn in range(processes):
        order = list(enumerate(jobs))
        for index, job in order if turn % 2 == 0 else reversed(order):
            parts[index].append(_in_process(replace(job, turn=turn)))
    return [_join(part) for part in parts]


def time_here(job: Job) -> Timed:
    """Time a job in this process: a first call, the rounds, and one that repeats the last.

    The first call and every round have an image and samples of their own, which no other process
    of the job has, so that a sampler that keeps results is as slow as it is. The repeated round
    shows whether it does, and how much memory a round takes.

    Raises:
        InvalidOptionError: if random weights are asked of a sampler that has no network of ours.
        MissingCheckpointError, UnknownNameError: see `resolve.Suite.subject`.
    """
    suite = Suite(job.options)
    device, settings = suite.device, suite.settings
    data = _targets(suite, job.case.task, 1 + job.rounds)
    subject = _untrained(suite, job.case) if job.random_weights else suite.subject(job.case)
    inputs = Inputs(subject.sampler, data, suite.problem(job.case.task), settings)
    inputs.number = job.turn * (1 + job.rounds + SECOND_LOOK)

    (first_call_s,) = measure(inputs.draw, setup=inputs.next)
    is_gpu = device.type == "cuda"
    before = gpu_clocks(device) if is_gpu else {}
    seconds = measure(inputs.draw, setup=inputs.next, rounds=job.rounds)
    after = gpu_clocks(device) if is_gpu else {}
    with peak_allocated_bytes(device) as peak:
        saved = saved_by_repeating(inputs.draw, inputs.draw_new, seconds, noticeable=NOTICEABLE)
    timing = TimingCase(
        environment_key=device_key(device, settings.dtype),
        weights=_weights(suite, job),
        model={"name": job.case.model, **subject.identity()},
        targets=data.name,
        samples_per_round=settings.n_samples,
        chunk_size=inputs.settings.chunk_size,
        nfe=subject.nfe,
        peak_allocated_bytes=peak(),
        seconds=(tuple(seconds),),
        clocks=({"before": before, "after": after},) if is_gpu else (),
        first_call_s=(first_call_s,),
        saved_by_repeating=(saved,),
    )
    run = describe(suite, job.output.name, sys.argv, [job.case.id])
    return Timed(timing=timing, run=run)


class Inputs:
    """Walks through inputs for one sampler: round r has image r mod n and samples from r K on.

    Attributes:
        number: of the next round.
        settings: with a smaller chunk size once memory has run out.
    """

    def __init__(
        self, sampler: Sampler, data: DataSet, problem: Problem, settings: Settings
    ) -> None:
        self.number = 0
        self._sampler, self._data = sampler, data
        self._problem, self.settings = problem, settings
        self._observed: Observed | None = None
        self._first = 0

    def next(self) -> None:
        """Observe the image of the next round."""
        gc.collect()
        photo = self._data.photos[self.number % len(self._data.photos)]
        self._observed = observe(photo, self._problem, self.settings.device)
        self._first = self.number * self.settings.n_samples
        self.number += 1

    def draw(self) -> None:
        """Draw the samples of this round; the same ones if it is called again."""
        assert self._observed is not None
        _, self.settings = draw_within_memory(
            self._sampler, self._observed, self.settings, first=self._first
        )

    def draw_new(self) -> None:
        """Draw the samples of another image as in a round, and come back to this one."""
        observed, first = self._observed, self._first
        self.next()
        self.draw()
        self._observed, self._first = observed, first


def _targets(suite: Suite, task: str, count: int) -> DataSet:
    """Return a task's targets; images drawn from a known law where the profile has no data."""
    try:
        return suite.data_set(task)
    except errors.MissingDataError:
        if suite.options.data is not None:
            raise
        return DataSet("gaussian field", gaussian_photos(suite.size(task), count))


@usual_defaults()
def _untrained(suite: Suite, case: Case) -> Subject:
    """Build a case's network with the weights it is initialized with."""
    if case.model in suite.own:
        raise errors.InvalidOptionError(
            f"--random-weights: {case.model} is not built by invbench; leave the option out"
        )
    method, configuration = get_method(case.model), suite.profile.configuration
    config = method.configure(case.task, configuration)
    network = method.build(config)
    dtype = method.network_dtype(config, suite.options.dtype)
    prepare(network, suite.device, dtype)
    facts = Facts(
        family=method.family,
        source=method.source,
        configuration=configuration,
        network_dtype=None if dtype == suite.options.dtype else dtype,
    )
    return Subject(method.sampler(network, config), facts)


def _weights(suite: Suite, job: Job) -> Literal["checkpoint", "random", "own"]:
    """Say where the weights come from."""
    if job.random_weights:
        return "random"
    return "own" if job.case.model in suite.own else "checkpoint"


def _join(parts: Sequence[Timed]) -> Timed:
    """Make one timing of all processes'."""
    timings = [part.timing for part in parts]
    first = timings[0]
    alike = [
        replace(
            timing,
            seconds=(),
            clocks=(),
            first_call_s=(),
            saved_by_repeating=(),
            peak_allocated_bytes=None,
        )
        for timing in timings
    ]
    if any(one != alike[0] for one in alike):
        raise errors.ConflictingRunsError(
            f"{first.environment_key}: the processes of one timing ran under other conditions"
        )
    peaks = [t.peak_allocated_bytes for t in timings if t.peak_allocated_bytes is not None]
    timing = replace(
        first,
        seconds=tuple(rounds for t in timings for rounds in t.seconds),
        clocks=tuple(clocks for t in timings for clocks in t.clocks),
        first_call_s=tuple(call for t in timings for call in t.first_call_s),
        saved_by_repeating=tuple(share for t in timings for share in t.saved_by_repeating),
        peak_allocated_bytes=max(peaks, default=None),
    )
    return Timed(timing=timing, run=parts[0].run)


def _in_process(job: Job) -> Timed:
    """Run `time_here` in a process of its own; an error there is raised here."""
    done = subprocess.run(
        [sys.executable, "-m", "invbench.suite.speed"],
        input=json.dumps(asdict(job), default=str),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    if "error" in answer:
        raise getattr(errors, answer["error"], errors.InvbenchError)(answer["message"])
    if not answer:
        raise errors.InvbenchError(f"a timed process ended with status {done.returncode}")
    timed: Timed = build(Timed, answer)
    return timed


def _read_job(text: str) -> Job:
    raw = json.loads(text)
    options = raw["options"]
    folders = {name: options[name] and Path(options[name]) for name in ("checkpoints", "data")}
    return Job(
        case=Case(**raw["case"]),
        options=Options(**options | folders),
        output=Path(raw["output"]),
        rounds=raw["rounds"],
        turn=raw["turn"],
        random_weights=raw["random_weights"],
    )


def _main() -> None:
    """Read a job from standard input; write what was timed, or the error, as the last line."""
    answer: dict[str, Any]
    try:
        answer = asdict(time_here(_read_job(sys.stdin.read())))
    except errors.InvbenchError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except Exception as error:  # noqa: BLE001  of the sampler's own
        said = f"the sampler raised {errors.fault_in(error)}"
        answer = {"error": errors.InvalidSamplerError.__name__, "message": said}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    _main()
