"""Does a run that is killed at any moment, and continued, end as one that was left alone?

Runs the suite once undisturbed, then twenty times in a process that is killed (SIGKILL, no chance
to clean up) at a random moment, and continued with ``--invbench-resume``. Records and scores must
agree byte for byte apart from times::

    python benchmarks/studies/kill_resume.py

A moment is a number of cases stored and a share of the time that a case takes after that, so that
the kills spread over the run however busy the machine is. Processes are forked from a server that
has loaded torch and other packages, but nothing of invbench.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from invbench.report import align
from invbench.runs import RunStore

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

ROOT = Path(__file__).parents[2]
TIMES = {
    *("wall_s", "seconds_per_round", "samples_per_second"),
    *("first_call_s", "saved_by_repeating"),
}
SERVER = multiprocessing.get_context("forkserver")
PACKAGES = ["torch", "lpips", "skimage.data", "skimage.metrics", "scipy.stats"]


@dataclass(frozen=True)
class Kill:
    """One run that was killed and continued."""

    moment: str
    stored: int
    half_written: int
    kept: int
    differences: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-k", dest="cases", default="chimle or cimle", help="which cases")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    SERVER.set_forkserver_preload(PACKAGES)
    options = [
        *("benchmarks/", "-q", "-k", arguments.cases, "-p", "no:cacheprovider"),
        *(f"--invbench-images={arguments.images}", f"--invbench-samples={arguments.samples}"),
    ]
    moments = random.Random(arguments.seed)  # noqa: S311 no secret
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = start(options, folder / "whole")
        wait_for(whole, folder / "whole" / "run.json", count=1)
        begun = time.monotonic()
        whole.join()
        if whole.exitcode != 0:
            raise SystemExit((folder / "whole.log").read_text())
        span, n_cases = time.monotonic() - begun, len(RunStore(folder / "whole").case_ids())
        print(f"undisturbed: {n_cases} cases in {span:.1f} s", flush=True)
        expected = contents(folder / "whole")
        kills = []
        for index in range(arguments.kills):
            stored, more = moments.randrange(n_cases), moments.uniform(0, span / n_cases)
            kills.append(kill_and_resume(options, folder / str(index), (stored, more), expected))
            print(f"{index + 1}: {kills[-1]}", flush=True)
    print_table(kills)
    return int(any(kill.differences for kill in kills))


def kill_and_resume(
    options: list[str], folder: Path, moment: tuple[int, float], expected: dict[str, object]
) -> Kill:
    """Kill a run at a moment, continue it, and compare."""
    stored, more_s = moment
    process = start(options, folder)
    wait_for(process, folder / "run.json", count=1)
    wait_for(process, folder / "cases" / "*.json", count=stored)
    time.sleep(more_s)
    process.kill()
    process.join()
    before = {path: path.read_bytes() for path in (folder / "cases").glob("*.json")}
    half_written = len(list(folder.rglob(".*.part")))
    again = start([*options, "--invbench-resume"], folder)
    again.join()
    found = contents(folder)
    differences = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if again.exitcode:
        differences.append(f"exit status {again.exitcode}")
    if left := [path.name for path in folder.rglob(".*")]:
        differences.append(f"left behind: {', '.join(left)}")
    kept = sum(path.read_bytes() == text for path, text in before.items())
    return Kill(f"{stored} + {more_s:.2f} s", len(before), half_written, kept, differences)


def start(options: list[str], folder: Path) -> ForkServerProcess:
    log = str(folder.with_suffix(".log"))
    arguments = ([*options, f"--invbench-results={folder}"], log)
    process = SERVER.Process(target=suite, args=arguments)
    process.start()
    return process


def suite(options: list[str], log: str) -> None:
    """Run pytest in this process, its output in a file."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(pytest.main(options))


def wait_for(process: ForkServerProcess, files: Path, *, count: int) -> None:
    """Wait until so many files are there, or the process has ended."""
    while process.is_alive():
        with suppress(OSError):
            if len(list(files.parent.glob(files.name))) >= count:
                return
        time.sleep(0.001)


def contents(folder: Path) -> dict[str, object]:
    """Return all records without times, and all scores as bytes."""
    cases = {path.name: path.read_text() for path in (folder / "cases").iterdir()}
    scores: dict[str, object] = {
        path.name: path.read_bytes() for path in (folder / "scores").iterdir()
    }
    return scores | {
        name: json.dumps(json.loads(text, object_pairs_hook=timeless))
        for name, text in cases.items()
    }


def timeless(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {key: value for key, value in pairs if key not in TIMES}


def print_table(kills: list[Kill]) -> None:
    rows = [
        (
            kill.moment,
            *(str(number) for number in (kill.stored, kill.half_written, kill.kept)),
            ", ".join(kill.differences) or "identical",
        )
        for kill in kills
    ]
    heads = ("killed at (cases + time)", "stored", "half written", "kept", "records and scores")
    print("\n".join(align([heads, *rows])))


if __name__ == "__main__":
    sys.exit(main())
