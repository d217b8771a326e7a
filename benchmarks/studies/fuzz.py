"""Do readers of files refuse what is damaged by name, in bounded time and memory?

Small files of every format that is read, or that we write, are damaged at random: bits flipped,
bytes cut, repeated or overwritten, and in JSON any value replaced by one of another kind, with the
digests made right again so that the damage goes deeper. Each is read, and what was read is put to
its use, as a report or a comparison. A reader may read it, or raise a named error; anything else is
a fault::

    python benchmarks/studies/fuzz.py --files 2000

Each format has a process of its own, whose largest memory is printed beside its slowest file.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from invbench.errors import InvbenchError
from invbench.gate import apply_limits, compare, promote, read_limits, read_snapshot
from invbench.images import read_image
from invbench.metrics.weights import empty_model, load_trunk
from invbench.models import load_weights, read_card
from invbench.models.checkpoints import save_checkpoint
from invbench.models.imports import find_state
from invbench.models.reference import read_prior
from invbench.networks.weight_files import read_tensors, require_weights
from invbench.report import align, csv_report, markdown_report, summarize
from invbench.report.paper import read_paper
from invbench.runs import (
    CaseRecord,
    IntervalRecord,
    MetricRecord,
    RunRecord,
    RunStore,
    TimingRecord,
    conflicts,
    validate,
)
from invbench.runs.plain_json import canonical_json
from invbench.training.budget import Budget
from invbench.training.logs import read_log
from invbench.training.loop import train
from invbench.training.recipes import claim_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CASE = "chimle-sr16"
VALUES = (None, True, -1, 0, 1e308, 2**80, "", "x", "../x", [], [[]], {}, {"x": 1}, [None], "NaN")


@dataclass(frozen=True)
class Format:
    """A file that is read.

    Attributes:
        make: writes whole ones into a folder and returns the one that is damaged.
        read: reads it, and puts what was read to its use.
        is_json: whether values are replaced, too.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    is_json: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of the files of one format."""

    name: str
    files: int
    read: int
    named: int
    faults: dict[str, int]
    megabytes: float
    slowest_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=500, help="of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-k", default="", help="formats whose name holds this")
    arguments = parser.parse_args()
    rows = []
    for name in FORMATS:
        if arguments.k in name:
            with multiprocessing.get_context("fork").Pool(1) as pool:
                found = pool.apply(fuzz, (name, arguments.files, arguments.seed))
            rows.append(found)
            print(found, flush=True)
    cells = [
        (
            *(
                row.name,
                str(row.files),
                str(row.read),
                str(row.named),
                str(sum(row.faults.values())),
            ),
            *(f"{row.megabytes:.0f}", f"{row.slowest_s:.2f}"),
        )
        for row in rows
    ]
    heads = ("format", "files", "read", "named", "anything else", "most memory (MB)", "slowest (s)")
    print("\n".join(align([heads, *cells])))
    return int(any(row.faults for row in rows))


def fuzz(name: str, files: int, seed: int) -> Outcome:
    """Damage and read so many files of a format."""
    warnings.simplefilter("ignore")
    rng = random.Random(seed)  # noqa: S311 no secret
    form, counts, faults = FORMATS[name], Counter(), Counter()
    before, slowest = peak_megabytes(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = form.make(Path(folder))
        whole = path.read_bytes()
        for _ in range(files):
            path.write_bytes(damaged(form, whole, rng))
            start = time.process_time()
            result = attempt(form, path)
            slowest = max(slowest, time.process_time() - start)
            counts[result if result in {"read", "named"} else "fault"] += 1
            if result not in {"read", "named"}:
                faults[result] += 1
    return Outcome(
        name,
        files,
        counts["read"],
        counts["named"],
        dict(faults),
        peak_megabytes() - before,
        slowest,
    )


def attempt(form: Format, path: Path) -> str:
    """Read a file: "read", "named", or the place of an error that nobody named."""
    try:
        form.read(path)
    except InvbenchError:
        return "named"
    except Exception as error:  # noqa: BLE001  that is what is looked for
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "invbench" in f.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:80]}"
    return "read"


def damaged(form: Format, whole: bytes, rng: random.Random) -> bytes:
    """Return damaged content."""
    if form.is_json and rng.random() < 0.7:
        return replace_value(whole, rng)
    return mutate(whole, rng)


def mutate(whole: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert or overwrite bytes, once to four times."""
    content = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(content) + 1)
        length = rng.choice((1, 2, 4, 16, 256))
        part = content[place : place + length]
        kind = rng.randrange(7)
        if kind == 0 and place < len(content):
            content[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[place:]
        elif kind == 2:
            del content[place : place + length]
        elif kind == 3:
            content[place:place] = part * rng.choice((1, 2, 50))
        elif kind == 4:
            content[place:place] = rng.randbytes(length)
        elif kind == 5:
            content[place : place + length] = bytes([rng.choice((0, 255, 127))]) * len(part)
        else:
            number = rng.choice((0, 1, 2**15, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little")
            content[place : place + 4] = number if rng.random() < 0.5 else number[::-1]
    return bytes(content)


def replace_value(whole: bytes, rng: random.Random) -> bytes:
    """Replace or remove a value at any depth, and make the digests right again."""
    raw = json.loads(whole)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place: Any = raw
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = rng.choice(list(keys))
            if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.85:
                place = place[key]
                continue
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = copy.deepcopy(rng.choice(VALUES))
            break
    sign(raw)
    return json.dumps(raw).encode()


def sign(raw: Any) -> None:
    """Make a record's key, and the digests of a baseline's entries, those of their content."""
    if not isinstance(raw, dict):
        return
    if isinstance(raw.get("identity"), dict) and "key" in raw:
        raw["key"] = hashlib.sha256(canonical_json(raw["identity"]).encode()).hexdigest()
    cases = raw.get("cases")
    for entry in cases.values() if isinstance(cases, dict) else ():
        if isinstance(entry, dict) and "digest" in entry:
            sign(entry)
            content = {key: v for key, v in entry.items() if key not in ("digest", "run")}
            entry["digest"] = hashlib.sha256(canonical_json(content).encode()).hexdigest()


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# What is made


def picture(suffix: str, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        values = np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)
        path = folder / f"a.{suffix}"
        Image.fromarray(values).save(path, **options)
        return path

    return make


def run_folder(folder: Path) -> RunStore:
    """Write a run of one case that a report, a gate and limits find something in."""
    record, scores = a_record()
    environment = {
        "python": "3.11",
        "cpu": {"name": "c", "threads": 1},
        "packages": {"torch": "2"},
        "libjpeg": {"version": "6.2"},
        "gpu": {"name": "G", "driver": "1", "capability": "9.0"},
        "git": {"commit": "0a", "dirty": False},
    }
    run = RunRecord(
        run_id="run",
        created="2026-01-01T00:00:00+00:00",
        invbench="0.1.0",
        argv=("pytest",),
        profile="tiny",
        environment=environment,
        expected_cases=(CASE,),
        selected_cases=(CASE,),
        earlier=({"created": "2026-01-01", "environment": environment},),
    )
    store = RunStore(folder / "run")
    store.begin()
    store.write_run(asdict(run))
    store.write_case(record, scores)
    return store


def a_record() -> tuple[CaseRecord, dict[str, Any]]:
    values = np.array([[27.0, 29.0], [28.0, 28.0]])
    metric = MetricRecord(
        unit="dB",
        higher_is_better=True,
        version="1",
        n_images=2,
        mean=28.0,
        stderr=0.5,
        n_nonfinite=0,
        per_image=(28.0, 28.0),
    )
    interval = IntervalRecord(
        level=0.9,
        rule="linear",
        n_samples=2,
        ideal_coverage=0.5,
        coverage=0.5,
        coverage_per_image=(0.5, 0.5),
        mean_width=0.1,
        width_per_image=(0.1, 0.1),
        winkler=0.3,
        winkler_per_image=(0.3, 0.3),
        calibration={"guaranteed": {"certified": False, "method": "crc"}},
        coverage_band=(0.2, 0.8),
        coverage_ci95=(0.4, 0.6),
        scores={"crps": {"value": 0.1, "low": 0.1, "high": 0.2}},
    )
    identity = {
        "model": {"name": "chimle", "checkpoint": {"sha256": "a"}},
        "task": {
            "name": "sr16",
            "dataset": {"name": "d", "image_ids": ["a", "b"], "groups": ["a", "b"]},
        },
        "sampling": {"n_samples": 2, "seed": 0, "nfe": 1},
        "metrics": {"psnr": {"version": "1"}},
    }
    record = CaseRecord(
        case_id=CASE,
        identity=identity,
        status="measured",
        validity={"psnr": metric},
        target={"psnr_best": metric},
        interval=interval,
    )
    return record, {"psnr": values}


def made(name: str) -> Callable[[Path], Path]:
    return lambda folder: run_folder(folder).folder / name


def use_run(path: Path) -> None:
    """Read all of the run that a file is of, validate it, report it and compare it with itself."""
    folder = path.parent if (path.parent / "run.json").exists() else path.parents[1]
    store = RunStore(folder)
    validate(folder)
    store.read_whole_case(CASE)
    summary = summarize(store)
    markdown_report(summary)
    csv_report([record for name in store.case_ids() if (record := store.read_case(name))])
    run = read_snapshot(folder)
    compare(run, run)
    conflicts(store.read_run(), store.read_run())
    apply_limits(
        run.cases[CASE], read_limits(ROOT / "fixtures/thresholds.toml"), profile="tiny", source=""
    )


def make_timing(folder: Path) -> Path:
    from invbench.runs import TimingCase

    store = run_folder(folder)
    timed = TimingCase(
        environment_key="k",
        weights="own",
        model={"name": "m"},
        targets="t",
        samples_per_round=2,
        chunk_size=2,
        nfe=1,
        peak_allocated_bytes=None,
        seconds=((1.0, 2.0), (1.0, 3.0)),
        first_call_s=(1.0, 1.0),
    )
    store.write_timing(TimingRecord(cases={CASE: timed}))
    return store.folder / "timing.json"


def make_baseline(folder: Path) -> Path:
    return promote(run_folder(folder).folder, folder, allow_incomplete=True).file


def use_baseline(path: Path) -> None:
    before = read_snapshot(path)
    compare(before, before)
    for case in before.cases:
        before.facts_of(case)


def copied(file: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / Path(file).name).write_bytes((ROOT / file).read_bytes())
        return folder / Path(file).name

    return make


def use_limits(path: Path) -> None:
    apply_limits(a_record()[0], read_limits(path), profile="tiny", source="")


def make_checkpoint(folder: Path) -> Path:
    path = folder / "a.safetensors"
    weights = {"w": torch.ones(4, 3), "b": torch.ones(3)}
    card = {"steps": 3, "minutes": 1.0, "validation": {"images": 2, "skill": 0.1}, "data": {}}
    save_checkpoint(path, weights, method="m", stem="m", config=Budget(steps=1), card=card)
    return path


def use_checkpoint(path: Path) -> None:
    read_card(path)
    load_weights(path)


def make_pt(folder: Path, *, zipped: bool = True) -> Path:
    state = {"state_dict": {"w": torch.ones(4, 3), "b": torch.ones(3)}, "epoch": 3, "name": "x"}
    torch.save(state, folder / "a.pt", _use_new_zipfile_serialization=zipped)
    return folder / "a.pt"


def use_pt(path: Path) -> None:
    _, state = find_state(read_tensors(path), path=path)
    require_weights(state, path)


def make_trunk(folder: Path) -> Path:
    shapes = {key: value.shape for key, value in empty_model("squeeze").net.state_dict().items()}
    tensors = {
        f"features.{key.partition('.')[2]}": np.ones(shape, np.float16)
        for key, shape in shapes.items()
    }
    np.savez_compressed(folder / "a.npz", **tensors)
    return folder / "a.npz"


class Learner:
    """The smallest thing that learns."""

    def __init__(self) -> None:
        self.network = torch.nn.Linear(2, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters())

    def step(self, _: float) -> dict[str, float]:
        """Take a step."""
        self.optimizer.zero_grad()
        loss = self.network(torch.ones(1, 2)).square().mean()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}

    def state_dict(self) -> dict[str, Any]:
        """Return all that continues the run."""
        return {"n": self.network.state_dict(), "o": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.network.load_state_dict(state["n"])
        self.optimizer.load_state_dict(state["o"])


def trained(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.manual_seed(0)
        train(Learner(), Budget(steps=4), folder=folder)
        return folder / name

    return make


def go_on(path: Path) -> None:
    """Continue a finished run by one step, from copies, as it changes them."""
    with tempfile.TemporaryDirectory() as name:
        for file in path.parent.iterdir():
            (Path(name) / file.name).write_bytes(file.read_bytes())
        train(Learner(), Budget(steps=5), folder=Path(name))
        read_log(Path(name))


MADE_BY = {"method": "m", "seed": 0, "images": 4, "learning": {"rate": 1e-3, "betas": [0.9, 0.99]}}


def make_recipe(folder: Path) -> Path:
    claim_recipe(folder, MADE_BY)
    return folder / "recipe.json"


def make_npz(folder: Path) -> Path:
    return run_folder(folder).folder / "scores" / f"{CASE}.npz"


FORMATS = {
    "png": Format(picture("png"), read_image),
    "jpeg": Format(picture("jpg"), read_image),
    "progressive jpeg": Format(picture("jpg", progressive=True), read_image),
    "webp": Format(picture("webp"), read_image),
    "bmp": Format(picture("bmp"), read_image),
    "tiff": Format(picture("tiff"), read_image),
    "deflated tiff": Format(picture("tiff", compression="tiff_deflate"), read_image),
    "scores.npz": Format(make_npz, use_run),
    "record": Format(made(f"cases/{CASE}.json"), use_run, is_json=True),
    "run.json": Format(made("run.json"), use_run, is_json=True),
    "timing.json": Format(make_timing, use_run, is_json=True),
    "baseline": Format(make_baseline, use_baseline, is_json=True),
    "thresholds.toml": Format(copied("fixtures/thresholds.toml"), use_limits),
    "reference.toml": Format(copied("invbench/models/reference.toml"), read_prior),
    "paper_table1.toml": Format(copied("fixtures/paper_table1.toml"), read_paper),
    "checkpoint.safetensors": Format(make_checkpoint, use_checkpoint),
    "checkpoint.pt": Format(make_pt, use_pt),
    "old checkpoint.pt": Format(lambda folder: make_pt(folder, zipped=False), use_pt),
    "trunk.npz": Format(make_trunk, lambda path: load_trunk("squeeze", path, offline=True)),
    "state.pt": Format(trained("state.pt"), go_on),
    "log.jsonl": Format(trained("log.jsonl"), go_on),
    "recipe.json": Format(
        make_recipe, lambda path: claim_recipe(path.parent, MADE_BY), is_json=True
    ),
}

if __name__ == "__main__":
    sys.exit(main())
