"""Ship a set of weights with all that is said of it, so that nothing of it can disagree.

Run in the repository: python benchmarks/studies/ship.py WEIGHTS [--runs RUNS]

WEIGHTS is what ``invbench train --all`` wrote, RUNS the folder with its logs. One after the other:
weights and cards are copied to fixtures/checkpoints, the suite is run, and its run becomes the
limits, the baseline and the tables of docs/results.md; samples and uncertainty are drawn. What
docs/results.md says outside of its tables is for a person to write.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from invbench.files import atomic_write
from invbench.models import read_card
from invbench.training import Budget, plan_runs
from invbench.training.logs import read_log

FILE_MB, TOTAL_MB = 4.0, 60.0
BEGIN, END = "<!-- tables: written by benchmarks/studies/ship.py -->", "<!-- end of tables -->"


def check(weights: Path, profile: str) -> list[Path]:
    """Return the files to ship; end the program if one is missing or too large."""
    runs = plan_runs(profile, Budget(steps=1))
    files = [weights / f"{run.stem}.safetensors" for run in runs]
    if missing := [file.name for file in files if not file.is_file()]:
        sys.exit(f"{weights}: {', '.join(missing)} missing; train them first")
    sizes = [file.stat().st_size / 1e6 for file in files]
    if max(sizes) > FILE_MB or sum(sizes) > TOTAL_MB:
        sys.exit(f"up to {max(sizes):.1f} MB a file, {sum(sizes):.1f} MB in all: too large")
    return files


def copy(files: list[Path], checkpoints: Path) -> None:
    """Replace the shipped weights and their cards."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    for old in checkpoints.glob("*"):
        old.unlink()
    for file in files:
        for path in (file, file.with_suffix(".md")):
            shutil.copyfile(path, checkpoints / path.name)


def call(*command: str, allowed: tuple[int, ...] = (0,)) -> str:
    """Run Python on arguments, and return what it printed."""
    print("python", *command, flush=True)
    done = subprocess.run(  # noqa: S603
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in allowed:
        sys.exit(f"{done.stdout}\nfailed with {done.returncode}: {' '.join(command)}")
    return done.stdout


def training_table(files: list[Path], runs: Path | None, profile: str) -> list[str]:
    """Lay out what each run took and reached, with its learning curve where there is a log."""
    rows = [("run", "minutes", "steps", "psnr", "skill", "skill at minutes")]
    for file in files:
        card = read_card(file)
        scores = card["validation"]
        log = runs / f"{file.stem}-{profile}" if runs else None
        lines = read_log(log) if log and (log / "log.jsonl").exists() else []
        known = (x for x in lines if "skill" in x and x["minutes"] <= card["minutes"] + 0.05)
        curve = [f"{x['skill']:.2f} at {x['minutes']:.2g}" for x in known]
        facts = (card["minutes"], card["steps"], scores.get("psnr", "-"), scores.get("skill", "-"))
        rows.append((file.stem, *map(str, facts), "; ".join(curve) or "-"))
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "| --- | ---: | ---: | ---: | ---: | --- |", *body]


def replace_tables(page: Path, lines: list[str]) -> None:
    """Put lines between the page's two marks; without marks, at its end."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    content = "\n".join([BEGIN, "", *lines, "", END])
    with atomic_write(page) as stream:
        stream.write(f"{before.rstrip()}\n\n{content}\n{after.lstrip()}".encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--results", type=Path, default=Path("results/shipped"))
    parser.add_argument("--images", type=int, help="a case, to try it quickly")
    parser.add_argument("--samples", type=int, help="an image, to try it quickly")
    options = parser.parse_args()
    quick = {name: getattr(options, name) for name in ("images", "samples")}
    quick = {name: value for name, value in quick.items() if value is not None}
    files = check(options.weights, options.profile)
    copy(files, Path("fixtures/checkpoints"))
    # Tests may fail by the limits of the weights before
    pytest = ("-m", "pytest", "benchmarks/test_pairs.py", "-q", "-p", "no:cacheprovider")
    run = (f"--invbench-results={options.results}", f"--invbench-profile={options.profile}")
    fewer = [f"--invbench-{name}={value}" for name, value in quick.items()]
    print(call(*pytest, *run, "--invbench-fresh", *fewer, allowed=(0, 1)))
    invbench, results = ("-m", "invbench"), str(options.results)
    call(*invbench, "limits", results, "fixtures/thresholds.toml")
    call(*pytest, *run, "--invbench-resume", *fewer)  # by the limits of these weights
    call(*invbench, "baseline", "promote", results, "--allow-incomplete")
    fewer = [part for name, value in quick.items() for part in (f"--{name}", str(value))]
    for picture, given in (("sheet", []), ("uncertainty", fewer)):
        call(*invbench, picture, "--profile", options.profile, "-o", "docs", *given)
    paper = call(*invbench, "paper", results).splitlines()
    training = training_table(files, options.runs, options.profile)
    replace_tables(Path("docs/results.md"), ["## Training", "", *training, "", *paper])


if __name__ == "__main__":
    main()
