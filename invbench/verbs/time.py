"""``invbench time``: speed, in fresh processes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options, at_least_one, read_options
from invbench.verbs import TASK_HELP, say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.runs import RunStore
    from invbench.suite.speed import Job, Timed
    from invbench.verbs import AddParser

OPTIONS = (
    *("profile", "device", "dtype", "seed", "samples", "chunk_size"),
    *("checkpoints", "data", "sampler", "freed_memory"),
)


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "time", run)
    parser.add_argument("model", help="model id, see `invbench list`, or a sampler's name")
    parser.add_argument("task_text", metavar="task", help=TASK_HELP)
    parser.add_argument(
        "--vs", type=Path, metavar="DIR", help="folder of other weights, timed in turns with these"
    )
    parser.add_argument("--processes", type=at_least_one, default=5, help="fresh processes (5)")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="timed rounds in each (5)")
    parser.add_argument(
        "--random-weights", action="store_true", help="time an untrained network of full size"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder of a run (results/<time>)"
    )
    parser.add_argument(
        "--vs-output", type=Path, metavar="DIR", help="folder for the others' run (DIR-vs)"
    )
    add_options(parser.add_argument, only=OPTIONS)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Time a sampler in fresh processes, or its weights and others in turns."""
    from invbench.files import make_folder
    from invbench.models import Case
    from invbench.report import SPEED_HEADINGS, align, speed_rows
    from invbench.runs import RunStore
    from invbench.suite.description import default_results
    from invbench.suite.speed import Job, time_in_processes

    output = arguments.output or default_results()
    job = Job(
        case=Case(arguments.model, arguments.task_text.partition("=")[0]),
        options=replace(read_options(arguments), task=[arguments.task_text]),
        output=output,
        rounds=arguments.rounds,
        random_weights=arguments.random_weights,
    )
    jobs = [job]
    if arguments.vs:
        _check_others(arguments.vs, job)
        other = arguments.vs_output or output.with_name(f"{output.name}-vs")
        options = replace(job.options, checkpoints=arguments.vs)
        jobs.append(replace(job, options=options, output=other))
    for each in jobs:
        make_folder(each.output)
    rows = []
    found = time_in_processes(jobs, processes=arguments.processes)
    for each, timed in zip(jobs, found, strict=True):
        _store(RunStore(each.output), job.case.id, timed)
        ((_, *cells),) = speed_rows({job.case.id: timed.timing})
        rows.append((str(each.output), *cells))
    for line in align([("run", *SPEED_HEADINGS[1:]), *rows]):
        say(line)
    if any(timed.timing.keeps_results for timed in found):
        say("results are kept from call to call; the speeds above are those of new inputs")
    return ExitCode.OK


def _check_others(folder: Path, job: Job) -> None:
    """Refuse other weights that are not there, or that this sampler would never read."""
    from invbench.errors import InvalidOptionError
    from invbench.images import require_folder
    from invbench.models import MODELS

    require_folder(folder, "--vs")
    if job.random_weights:
        raise InvalidOptionError(f"--vs {folder}: random weights are read from no folder")
    if job.case.model not in MODELS:
        raise InvalidOptionError(
            f"--vs {folder}: {job.case.model} is a sampler of your own, which is not told of "
            "folders; time each version by itself with -o, then `invbench compare --timing`"
        )


def _store(store: RunStore, case_id: str, timed: Timed) -> None:
    """Add a timing to a run; a folder that is not one yet becomes a run of timings alone."""
    from invbench.files import is_there
    from invbench.runs import TimingRecord

    if not is_there(store.folder / "run.json"):
        store.write_run(asdict(replace(timed.run, selected_cases=())))
    before = store.read_timing()
    cases = {**(before.cases if before else {}), case_id: timed.timing}
    store.write_timing(TimingRecord(cases=cases))
