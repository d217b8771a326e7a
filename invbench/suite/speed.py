"""Speed in fresh processes: rounds within one process share its luck, processes do not.

Two builds of a model are timed in turns, so that a machine that warms up or is busy for a while
slows both alike.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from invbench import errors
from invbench.data.synthetic import gaussian_photos
from invbench.evaluation import draw
from invbench.images import from_uint8
from invbench.machine import device_key, gpu_state, measure, peak_allocated_bytes
from invbench.models import Case, get_method, prepare
from invbench.problems import get_task
from invbench.runs import RunRecord, RunStore, TimingCase, build
from invbench.suite.options import Options
from invbench.suite.session import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.data import Photo
    from invbench.models import Sampler


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process times.

    Attributes:
        case: model and task.
        options: of the suite: profile, device, checkpoints and so on.
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
    """What processes found: the timing, and where that was."""

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
        MissingCheckpointError, UnknownNameError: see `Suite.sampler`.
    """
    suite = Suite(job.options, job.root, RunStore(job.output))
    task, profile, device = get_task(job.case.task), suite.profile, suite.device
    name, photo = _target(suite, job.case.task)
    sampler, facts, weights = _sampler(suite, job)
    target = from_uint8(photo.pixels.to(device))
    observation = task.operator(target)

    def sample() -> None:
        dtype = job.options.dtype
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            draw(
                sampler,
                observation[None],
                task=task.name,
                image_ids=[photo.id],
                size=(target.shape[-2], target.shape[-1]),
                n_samples=profile.n_samples,
                seed=job.options.seed,
                chunk_size=profile.chunk_size,
            )

    before = gpu_state(device)
    seconds = measure(sample, setup=gc.collect, rounds=job.rounds, warmup_rounds=1)
    after = gpu_state(device)
    with peak_allocated_bytes(device) as peak:
        sample()
    timing = TimingCase(
        environment_key=device_key(device, job.options.dtype),
        weights=weights,
        model={"name": job.case.model, **facts},
        targets=name,
        samples_per_round=profile.n_samples,
        chunk_size=profile.chunk_size,
        nfe=getattr(sampler, "nfe", None),
        peak_allocated_bytes=peak(),
        seconds=(tuple(seconds),),
        clocks=({"before": before, "after": after},) if device.type == "cuda" else (),
    )
    return Timed(timing=timing, run=suite.describe(sys.argv, [job.case.id]))


def _target(suite: Suite, task: str) -> tuple[str, Photo]:
    """Return the first target; an image drawn from a known law where the profile has no data."""
    try:
        name, photos = suite.photos(task)
    except errors.MissingDataError:
        if suite.options.data is not None:
            raise
        return "gaussian field", gaussian_photos(suite.profile.sizes[task], 1)[0]
    return name, photos[0]


def _sampler(suite: Suite, job: Job) -> tuple[Sampler, dict[str, Any], Any]:
    own = job.case.model in suite.factories
    if not job.random_weights:
        return *suite.sampler(job.case), "own" if own else "checkpoint"
    if own:
        raise errors.InvalidOptionError(
            f"--random-weights: {job.case.model} is not built by invbench; leave the option out"
        )
    method, configuration = get_method(job.case.model), suite.profile.configuration
    config = method.configure(job.case.task, configuration)
    network = method.build(config)
    prepare(network, suite.device)
    facts = {"family": method.family, "source": method.source, "configuration": configuration}
    return method.sampler(network, config), facts, "random"


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
