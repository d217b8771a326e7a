"""Measure what a GPU does: does it agree with the CPU, how fast is it, and what makes it faster?

Every measurement is a step, kept as it is made, so that a call which was ended goes on where it
was. No step is begun once the seconds of a call are over. Call it again until it says that nothing
is left; then it writes the page's table and a baseline of the device.

    python benchmarks/gpu.py [--seconds 360] [--only 'time/*'] [--output results/gpu]

Steps: ``tests`` (those marked gpu), ``agreement/<case>`` (profile tiny here and on the CPU),
``evaluation/<task>`` and ``time/<dtype>/<pair>`` (at the size of the study, with random weights),
``ratio/<function>/<peer>``, and ``switch/<dtype>/<pair>/<switch>``.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gpu_table import write_tables
from peers import PEERS, compare

from invbench.data.synthetic import gaussian_photos
from invbench.evaluation import draw_samples, observe, score_image
from invbench.files import atomic_write
from invbench.gate import promote
from invbench.images import from_uint8
from invbench.machine import describe_environment, device_key, measure
from invbench.models import CASES, Case, get_method, prepare
from invbench.runs import RunStore
from invbench.suite import Options
from invbench.suite.resolve import Suite
from invbench.suite.session import Session
from invbench.suite.speed import Job, time_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
DTYPES = ("float32", "bfloat16")
SWITCHED = (Case("monce", "colorization"), Case("chimle", "sr16"), Case("ddrm", "sr16"))
SWITCHES = ("plain", "channels_last", "cudnn.benchmark", "compile", "compile with CUDA graphs")

Found = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What is measured, and how much of it.

    Attributes:
        device: "cuda", or "cpu" to try the script.
        profile: whose sizes are timed.
        samples: in a round that is timed; a smaller number than K, since samples take their turns.
        images: for the agreement; all of the profile by default.
        output: folder of the results.
        sessions: by device, of the agreement.
    """

    device: str
    profile: str
    samples: int
    images: int | None
    output: Path
    sessions: dict[str, Session] = field(default_factory=dict)

    def options(self, **chosen: Any) -> Options:
        """Return a run's options on the device."""
        return Options(**{"device": self.device, "gate": "off", "offline": True} | chosen)

    @property
    def timed(self) -> Options:
        """Return the options of what is timed."""
        return self.options(profile=self.profile, samples=self.samples)

    def steps(self) -> Iterator[tuple[str, Callable[[], Found]]]:
        """Yield the name of each step and what it does; the cheap ones come first."""
        yield "tests", self.marked_tests
        for task in ("sr16", "colorization", "decompression"):
            yield f"evaluation/{task}", partial(self.evaluation, task)
        for name in PEERS:
            yield f"ratio/{name}", partial(self.ratio, name)
        for dtype in DTYPES:
            for case in CASES:
                yield f"time/{dtype}/{case.id}", partial(self.speed, case, dtype)
        for case in Suite(self.options()).cases:
            yield f"agreement/{case.id}", partial(self.agreement, case)
        for dtype in DTYPES:
            for case in SWITCHED:
                for switch in SWITCHES:
                    name = f"switch/{dtype}/{case.id}/{switch}"
                    yield name, partial(self.switch, case, dtype, switch)

    def marked_tests(self) -> Found:
        """Run the tests that need a GPU."""
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests", "--no-header"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        return {"status": done.returncode, "said": done.stdout.strip().splitlines()[-1]}

    def agreement(self, case: Case) -> Found:
        """Measure a case here and on the CPU; return the largest difference of each score."""
        here, there = (
            self._scores(case, name, device)
            for name, device in (("tiny", self.device), ("tiny-cpu", "cpu"))
        )
        rows = {}
        for name, expected in there.items():
            with np.errstate(invalid="ignore"):
                error = np.abs(here[name] - expected)
            rows[name] = float(np.nan_to_num(error).max())
        return rows

    def _scores(self, case: Case, name: str, device: str) -> dict[str, np.ndarray]:
        if name not in self.sessions:
            self.sessions[name] = self._session(name, device)
        session = self.sessions[name]
        session.run(case, session.subject(case))
        return session.store.read_scores(case.id)

    def _session(self, name: str, device: str) -> Session:
        folder = self.output / name
        chosen = self.options(device=device, results=folder, resume=True, images=self.images)
        chosen = replace(chosen, samples=self.samples if self.images else None)
        suite = Suite(chosen)
        session = Session(suite, RunStore(folder))
        session.begin(sys.argv, [each.id for each in suite.cases])
        return session

    def speed(self, case: Case, dtype: str) -> Found:
        """Time a pair with random weights."""
        job = Job(
            case=case,
            options=replace(self.timed, dtype=dtype),
            output=self.output,
            rounds=1,
            random_weights=True,
        )
        timing = time_here(job).timing
        ((seconds,),), (first_call_s,) = timing.seconds, timing.first_call_s
        return {
            "seconds_a_sample": seconds / self.samples,
            "first_call_s": first_call_s,
            "samples": self.samples,
            "chunk_size": timing.chunk_size,
            "peak_bytes": timing.peak_allocated_bytes,
            "network_dtype": timing.model.get("network_dtype", dtype),
            "environment_key": timing.environment_key,
        }

    def evaluation(self, task: str) -> Found:
        """Time the scoring of one image; it is the same for all models."""
        suite = Suite(self.timed)
        size, problem = suite.size(task), suite.problem(task)
        target, other = (
            from_uint8(photo.pixels.to(suite.device)) for photo in gaussian_photos(size, 2)
        )
        samples = torch.rand(self.samples, 3, 1, 1).to(suite.device) * target
        samples = (255 * samples).round() / 255
        score = partial(
            score_image,
            samples,
            problem.operator(target[None])[0],
            operator=problem.operator,
            metrics=suite.metrics,
            target=target,
            other=other,
        )
        first_s, seconds = measure(score, rounds=2)
        return {"seconds_a_sample": seconds / self.samples, "first_call_s": first_s}

    def ratio(self, name: str) -> Found:
        """Time one of our functions beside a peer's."""
        suite = Suite(self.timed)
        return compare(name, size=suite.size("sr16"), samples=self.samples, device=suite.device)

    def switch(self, case: Case, dtype: str, switch: str) -> Found:
        """Time a pair with one thing changed."""
        suite = Suite(replace(self.timed, dtype=dtype))
        method, size = get_method(case.model), suite.size(case.task)
        config = method.configure(case.task, suite.profile.configuration)
        network = method.build(config)
        prepare(network, suite.device, method.network_dtype(config, dtype))
        layout = torch.channels_last if switch == "channels_last" else torch.contiguous_format
        network.to(memory_format=layout)
        if switch.startswith("compile"):
            network.compile(mode="reduce-overhead" if "graphs" in switch else "default")
        sampler = method.sampler(network, config)
        observed = observe(gaussian_photos(size, 1)[0], suite.problem(case.task), suite.device)
        draw = partial(draw_samples, sampler, observed, suite.settings)
        torch.backends.cudnn.benchmark = switch == "cudnn.benchmark"
        try:
            first_s, *seconds = measure(draw, rounds=3)
        finally:
            torch.backends.cudnn.benchmark = False
        return {"seconds_a_sample": min(seconds) / self.samples, "first_call_s": first_s}


def attempt(step: Callable[[], Found]) -> Found:
    """Carry out a step; an error is a result, too."""
    start = time.monotonic()
    try:
        found = step()
    except Exception as error:  # noqa: BLE001  whatever a card or a compiler refuses
        found = {"error": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
    gc.collect()
    torch.cuda.empty_cache()
    torch.compiler.reset()
    return found | {"wall_s": round(time.monotonic() - start, 1)}


def read(output: Path) -> Found:
    file = output / "measurements.json"
    return json.loads(file.read_text()) if file.exists() else {}


def main(arguments: list[str] | None = None) -> int:
    """Carry out steps until the seconds are over; return how many are left."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--profile", default="paper", help="what is timed (paper)")
    parser.add_argument("--samples", type=int, default=10, help="in a timed round (10)")
    parser.add_argument("--images", type=int, help="for the agreement (the profile's)")
    parser.add_argument(
        "--seconds", type=float, default=360, help="after which no step is begun (360)"
    )
    parser.add_argument("--only", nargs="+", default=["*"], help="steps, as 'time/*'")
    parser.add_argument("--output", type=Path, default=Path("results", "gpu"))
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--baselines", type=Path, default=ROOT / "fixtures" / "baselines")
    chosen = parser.parse_args(arguments)
    chosen.output.mkdir(parents=True, exist_ok=True)
    bench = Bench(chosen.device, chosen.profile, chosen.samples, chosen.images, chosen.output)
    device = Suite(bench.options()).device

    start, left = time.monotonic(), 0
    found = read(chosen.output)
    found["device"] = device_key(device, "float32")
    found["environment"] = describe_environment(device)
    for name, step in bench.steps():
        if name in found or not any(fnmatch(name, pattern) for pattern in chosen.only):
            continue
        if time.monotonic() - start >= chosen.seconds:
            left += 1
            continue
        found[name] = attempt(step)
        print(name, json.dumps(found[name]), flush=True)
        with atomic_write(chosen.output / "measurements.json") as stream:
            stream.write(json.dumps(found, indent=1).encode())
    if left:
        print(f"{left} steps left; call it again")
        return left
    write_tables(chosen.page, found, profile=bench.profile, samples=bench.samples)
    if (chosen.output / "tiny" / "run.json").exists():
        file = promote(chosen.output / "tiny", chosen.baselines, allow_incomplete=True).file
        print(f"{chosen.page} and {file} are written")
    return 0


if __name__ == "__main__":
    sys.exit(min(main(), 1))
