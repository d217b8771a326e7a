"""What does a plain run say of samplers that look better than they are?

Runs ``pytest benchmarks/test_pairs.py`` on the samplers of ``tests/dishonest.py``, all tasks, and
prints the table of the run. With names, only those.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))


def main(names: list[str]) -> int:
    """Measure the samplers; return pytest's exit status."""
    from dishonest import SAMPLERS

    chosen = names or list(SAMPLERS)
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(  # noqa: S603 our own command
            [
                *(sys.executable, "-m", "pytest", "benchmarks/test_pairs.py", "-q"),
                *("-p", "no:cacheprovider", "--benchmark-disable"),
                *("-k", " or ".join(f"{name}-" for name in chosen)),
                *(f"--invbench-sampler={name}=dishonest:{name}" for name in chosen),
                f"--invbench-results={folder}/run",
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
