"""Does a run that is killed at any moment, and continued, end as one that was left alone?

Runs the suite once undisturbed, then ten times in a process that is killed (SIGKILL, no chance to
clean up) at a random moment between the first file and the end, and continued with
``--invbench-resume``. Records and scores must agree byte for byte apart from times::

    python benchmarks/kill_resume.py
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from invbench.report.tables import align
from invbench.store import RunStore

ROOT = Path(__file__).parents[1]
TIMES = {"wall_s", "seconds_per_round", "samples_per_second"}


@dataclass(frozen=True)
class Kill:
    """One run that was killed and continued."""

    after_s: float
    done: int
    kept: int
    differences: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-k", dest="cases", default="chimle or cimle", help="which cases")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    command = [
        *(sys.executable, "-m", "pytest", "benchmarks/", "-k", arguments.cases, "-q"),
        *("-p", "no:cacheprovider", f"--invbench-images={arguments.images}"),
        f"--invbench-samples={arguments.samples}",
    ]
    moments = random.Random(arguments.seed)  # noqa: S311 no secret
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        span = measure_span(command, folder / "whole")
        expected = contents(folder / "whole")
        print(f"undisturbed: {len(expected)} files in {span:.1f} s after the first")
        kills = []
        for index in range(arguments.kills):
            after = moments.uniform(0, span)
            kills.append(kill_and_resume(command, folder / str(index), after, expected))
            print(f"{index + 1}: {kills[-1]}", flush=True)
    print_table(kills)
    return int(any(kill.differences for kill in kills))


def measure_span(command: list[str], folder: Path) -> float:
    """Run undisturbed; return the seconds from the first file to the end."""
    process = start(command, folder)
    begun = wait_for_run(process, folder)
    if process.wait() != 0:
        raise SystemExit("the undisturbed run failed")
    return time.monotonic() - begun


def kill_and_resume(
    command: list[str], folder: Path, after_s: float, expected: dict[str, object]
) -> Kill:
    """Kill a run ``after_s`` seconds after its first file, continue it, and compare."""
    process = start(command, folder)
    begun = wait_for_run(process, folder)
    time.sleep(max(0.0, begun + after_s - time.monotonic()))
    process.kill()
    process.wait()
    done = RunStore(folder).case_ids()
    before = {name: (folder / "cases" / f"{name}.json").read_bytes() for name in done}
    status = start([*command, "--invbench-resume"], folder).wait()
    found = contents(folder)
    differences = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if status:
        differences.append(f"exit status {status}")
    kept = sum(
        (folder / "cases" / f"{name}.json").read_bytes() == text for name, text in before.items()
    )
    return Kill(after_s, len(done), kept, differences)


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 our own command
        [*command, f"--invbench-results={folder}"], cwd=ROOT, stdout=subprocess.DEVNULL
    )


def wait_for_run(process: subprocess.Popen[bytes], folder: Path) -> float:
    """Wait until the run's folder is begun; return the time."""
    while not (folder / "run.json").exists():
        if process.poll() is not None:
            raise SystemExit(f"the run ended with status {process.returncode} before it began")
        time.sleep(0.001)
    return time.monotonic()


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
            str(index + 1),
            f"{kill.after_s:.2f}",
            str(kill.done),
            str(kill.kept),
            ", ".join(kill.differences) or "identical",
        )
        for index, kill in enumerate(kills)
    ]
    heads = ("kill", "after s", "cases stored", "kept", "records and scores")
    print("\n".join(align([heads, *rows])))


if __name__ == "__main__":
    sys.exit(main())
