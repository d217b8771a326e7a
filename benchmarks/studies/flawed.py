"""What does `invbench check` say of samplers and tasks with one defect each, and of honest ones?

Checks those of ``tests/flawed.py``, each in a process of its own, and prints a line for each: the
properties that are broken, the seconds that it took, and those of a processor. With names, only
those.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
sys.path.insert(0, str(TESTS))


def main(names: list[str]) -> int:
    """Check what is named; return 0 if all that was expected was found, and nothing else."""
    from flawed import HONEST, SAMPLERS, TASKS

    expected = {name: broken for name, (_, broken) in SAMPLERS.items()}
    expected |= {name: [] for name in HONEST}
    expected |= {f"task_{name}": broken for name, (_, broken) in TASKS.items()}
    surprises = 0
    for name in names or expected:
        option = ["--task-factory"] if name.startswith("task_") else ["--task", "colorization"]
        where = [*option, f"flawed:{name}"] if len(option) == 1 else [f"flawed:{name}", *option]
        start, used = time.monotonic(), _processor_s()
        done = subprocess.run(  # noqa: S603 our own command
            [sys.executable, "-m", "invbench", "check", *where, "--device", "cpu"],
            cwd=TESTS,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds, used = time.monotonic() - start, _processor_s() - used
        verdict = (done.stdout or done.stderr).splitlines()[-1].rpartition(": ")[2]
        right = verdict == (
            f"FAILED ({', '.join(expected[name])})" if expected[name] else "keeps what it promises"
        )
        surprises += not right
        unexpected = "" if right else "  UNEXPECTED"
        print(f"{name:22} {verdict:40} {seconds:5.1f} s {used:5.1f} s{unexpected}")
    return int(surprises > 0)


def _processor_s() -> float:
    """Return the seconds that a processor worked for the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
