"""Workers of submitit and Ray measure what this process would have, and may die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from invbench.errors import ExecutionWarning, InvalidOptionError, RemoteError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OWN = ("mine=samplers:blurry", "saved=frail:once", "deadly=frail:deadly", "foreign=frail:foreign")
PLACED = {"wall_s", "throughput", "not_measured", "execution"}  # times, and where
SHORT = ("--invbench-images=2", "--invbench-samples=3", "--invbench-gate=off", "-q")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}


def command(results, samplers, *arguments):
    """Return the command that measures samplers of ours, and the reference, on one task."""
    return [
        *(sys.executable, "-m", "pytest", str(ROOT / "benchmarks" / "test_pairs.py")),
        *("-c", str(ROOT / "benchmarks" / "pytest.toml"), "-p", "no:cacheprovider"),
        *(f"--invbench-sampler={sampler}" for sampler in samplers),
        f"--invbench-results={results}",
        *SHORT,
        *arguments,
    ]


def run(folder, *arguments):
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def record(folder, case):
    return json.loads((folder / "cases" / f"{case}.json").read_text())


def content(folder, case):
    """Return all that a run holds of a case, apart from times and machines."""
    kept = {name: value for name, value in record(folder, case).items() if name not in PLACED}
    files = [folder / "scores" / f"{case}.npz", *sorted((folder / "pictures" / case).iterdir())]
    return kept, [path.read_bytes() for path in files]


ON_THIS_MACHINE = ("--invbench-executor=slurm", "--invbench-executor-setting=cluster=local")
CASES = ("-k", "colorization and (mine or saved or deadly or foreign or reference)")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    pytest.importorskip("submitit", reason="needs submitit: pip install 'invbench[slurm]'")
    place = tmp_path_factory.mktemp("submitit")
    done = run(place, "remote", OWN, *CASES, *ON_THIS_MACHINE)
    (place / "said").write_text(done.stdout + done.stderr)
    return place


@pytest.mark.parametrize("name", ["mine", "saved", "reference"])
def test_records_are_those_of_a_local_run(place, name):
    if not (place / "local").exists():
        samplers = [own for own in OWN if own.startswith(("mine", "saved"))]
        local = run(place, "local", samplers, "-k", "colorization and (mine or saved or refer)")
        assert local.returncode == 0, local.stdout
    case = f"{name}-colorization"
    assert content(place / "remote", case) == content(place / "local", case)
    execution = record(place / "remote", case)["execution"]
    assert execution["executor"] == "slurm"
    assert execution["node"]
    assert len(execution["lost_workers"]) == (name == "saved")
    assert record(place / "local", case)["execution"] is None


def test_a_worker_that_dies_for_good_is_named_and_the_rest_is_kept(place):
    found = record(place / "remote", "deadly-colorization")
    assert found["status"] == "error"
    assert found["reason"].startswith("LostWorkerError: 3 workers died")
    assert len(found["execution"]["lost_workers"]) == 3
    assert found["execution"]["node"] is None
    assert "3 passed" in (place / "said").read_text()


def test_an_error_of_a_user_s_own_is_told_with_its_traceback(place):
    assert (
        "ZeroDivisionError: no such thing"
        in record(place / "remote", "foreign-colorization")["reason"]
    )
    assert 'raise ZeroDivisionError("no such thing")' in (place / "said").read_text()


def test_a_resumed_run_keeps_what_was_measured(place):
    before = (place / "remote" / "cases" / "mine-colorization.json").read_bytes()
    only = ("-k", "colorization and mine", "--invbench-resume")
    done = run(place, "remote", OWN, *only, *ON_THIS_MACHINE)
    assert "1 case kept" in done.stdout, done.stdout
    assert (place / "remote" / "cases" / "mine-colorization.json").read_bytes() == before


@pytest.fixture
def cluster(monkeypatch):
    """Start two nodes on this machine, of one CPU each."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'invbench[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_node_is_killed_in_the_middle(cluster, tmp_path):
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    (tmp_path / "hold").touch()
    samplers = ["patient=frail:patient"]
    arguments = ("-k", "patient", "--invbench-executor=ray")
    with subprocess.Popen(
        command("remote", samplers, *arguments),
        cwd=tmp_path,
        env=ENVIRONMENT | {"RAY_ADDRESS": cluster.address},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None and not list(tmp_path.glob(f"on-{second.node_id}-*")):
            time.sleep(0.1)
        cluster.remove_node(second, allow_graceful=False)
        (tmp_path / "hold").unlink()
        said, _ = process.communicate()
    assert process.returncode == 0, said

    (killed,) = tmp_path.glob(f"on-{second.node_id}-*")
    local = run(tmp_path, "local", samplers, "-k", "patient")
    assert local.returncode == 0, local.stdout
    for task in ("sr16", "colorization", "decompression"):
        case = f"patient-{task}"
        assert content(tmp_path / "remote", case) == content(tmp_path / "local", case)
        lost = record(tmp_path / "remote", case)["execution"]["lost_workers"]
        assert len(lost) == killed.name.endswith(f"-{task}"), lost


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_work_that_no_node_can_take_is_told_of(cluster):
    import ray

    from invbench.executors import start_executor

    ray.init(cluster.address, log_to_driver=False)
    try:
        executor = start_executor("ray", Path(), {"num_cpus": 64})
        with pytest.warns(ExecutionWarning, match="no node of the Ray cluster has 64 CPU"):
            executor.submit(json.dumps, [], gpu=False)
        with pytest.raises(InvalidOptionError, match="executor ray"):
            start_executor("ray", Path(), {"colour": "red"}).submit(json.dumps, [], gpu=False)
        assert start_executor("ray", Path(), {}).submit(json.dumps, [1], gpu=None).result() == "[1]"
        with pytest.raises(RemoteError, match="not JSON serializable"):
            start_executor("ray", Path(), {}).submit(json.dumps, 1j, gpu=None).result()
    finally:
        ray.shutdown()
