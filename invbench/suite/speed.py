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
from invbench.evaluation import Facts, Subject, draw_samples, observe
from invbench.machine import device_key, gpu_state, measure, peak_allocated_bytes
from invbench.models import Case, get_method, prepare
from invbench.problems import get_task
from invbench.runs import RunRecord, TimingCase, build
from invbench.suite.options import Options
from invbench.suite.resolve import Suite
from invbench.suite.session import describe

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process times.

    Attributes:
        case: model and task.
        options: what the user chose: profile, device, checkpoints and so on.
        root: folder that holds ``fixtures/``.
        output: folder of the run.
        rounds: timed, after one that is not.
        random_weights: build the network untrained; good for speed alone.
    """

    case: Case
    options: Options
    root: Path
    output: Path
    rounds: int
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
            parts[index].append(_in_process(job))
    return [_join(part) for part in parts]


def time_here(job: Job) -> Timed:
    """Time a job in this process: one round unmeasured, the timed ones, one for its memory.

    Raises:
        InvalidOptionError: if random weights are asked of a sampler that has no network of ours.
        MissingCheckpointError, UnknownNameError: see `resolve.Suite.subject`.
    """
    suite = Suite(job.options, job.root)
    device, settings = suite.device, suite.settings
    data = _targets(suite, job.case.task)
    subject = _untrained(suite, job.case) if job.random_weights else suite.subject(job.case)
    observed = observe(data.photos[0], get_task(job.case.task), device)

    def sample() -> None:
        draw_samples(subject.sampler, observed, settings)

    before = gpu_state(device)
    seconds = measure(sample, setup=gc.collect, rounds=job.rounds, warmup_rounds=1)
    after = gpu_state(device)
    with peak_allocated_bytes(device) as peak:
        sample()
    timing = TimingCase(
        environment_key=device_key(device, settings.dtype),
        weights=_weights(suite, job),
        model={"name": job.case.model, **subject.identity()},
        targets=data.name,
        samples_per_round=settings.n_samples,
        chunk_size=settings.chunk_size,
        nfe=subject.nfe,
        peak_allocated_bytes=peak(),
        seconds=(tuple(seconds),),
        clocks=({"before": before, "after": after},) if device.type == "cuda" else (),
    )
    run = describe(suite, job.output.name, sys.argv, [job.case.id])
    return Timed(timing=timing, run=run)


def _targets(suite: Suite, task: str) -> DataSet:
    """Return a task's targets; an image drawn from a known law where the profile has no data."""
    try:
        return suite.data_set(task)
    except errors.MissingDataError:
        if suite.options.data is not None:
            raise
        return DataSet("gaussian field", gaussian_photos(suite.profile.sizes[task], 1))


def _untrained(suite: Suite, case: Case) -> Subject:
    """Build a case's network with the weights it is initialized with."""
    if case.model in suite.own:
        raise errors.InvalidOptionError(
            f"--random-weights: {case.model} is not built by invbench; leave the option out"
        )
    method, configuration = get_method(case.model), suite.profile.configuration
    config = method.configure(case.task, configuration)
    network = method.build(config)
    prepare(network, suite.device)
    facts = Facts(family=method.family, source=method.source, configuration=configuration)
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
    alike = [replace(t, seconds=(), clocks=(), peak_allocated_bytes=None) for t in timings]
    if any(one != alike[0] for one in alike):
        raise errors.ConflictingRunsError(
            f"{first.environment_key}: the processes of one timing ran under other conditions"
        )
    peaks = [t.peak_allocated_bytes for t in timings if t.peak_allocated_bytes is not None]
    timing = replace(
        first,
        seconds=tuple(rounds for t in timings for rounds in t.seconds),
        clocks=tuple(clocks for t in timings for clocks in t.clocks),
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
        root=Path(raw["root"]),
        output=Path(raw["output"]),
        rounds=raw["rounds"],
        random_weights=raw["random_weights"],
    )


def _main() -> None:
    """Read a job from standard input; write what was timed, or the error, as the last line."""
    answer: dict[str, Any]
    try:
        answer = asdict(time_here(_read_job(sys.stdin.read())))
    except errors.InvbenchError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    _main()
