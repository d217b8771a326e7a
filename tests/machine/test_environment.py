"""The environment is complete where there is a GPU, and without one; unknown facts are null."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest
import torch
from PIL import features

from invbench.machine import environment
from invbench.machine.environment import (
    DeviceError,
    describe_environment,
    device_key,
    forbid_tf32,
    gpu_clocks,
    lasting_facts,
    resolve_device,
)

CPU, CARD = torch.device("cpu"), torch.device("cuda", 1)
ANSWERS = {
    "driver_version": "570.86.15",
    "clocks.sm": "1980",
    "clocks.max.sm": "1980",
    "clocks.mem": "[N/A]",
    "clocks_throttle_reasons.active": "0x0000000000000001",
}


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are two GPUs and that ``nvidia-smi`` answers for the second."""
    chosen = []
    properties = SimpleNamespace(
        name="A Card", major=9, minor=0, total_memory=1 << 30, uuid="0123-4567"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)

    def output(command):
        if command[0] != "nvidia-smi":
            return "unknown"
        assert command[1] == "--id=GPU-0123-4567"
        assert command[3] == "--format=csv,noheader,nounits"
        return ANSWERS[command[2].removeprefix("--query-gpu=")]

    monkeypatch.setattr(environment, "_output", output)
    return chosen


@pytest.fixture
def switches():
    """Leave the process as the suite's other tests expect it."""
    yield
    forbid_tf32()


def test_a_cpu_has_no_gpu_and_everything_is_json():
    facts = describe_environment(CPU)
    assert facts["gpu"] is None
    assert facts["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert facts["libjpeg"]["version"] == (features.version("libjpeg_turbo") or "6.2")
    assert {"python", "os", "cpu", "cuda", "cudnn", "determinism", "git"} <= set(facts)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_a_gpu_is_described_with_its_driver(gpus):  # noqa: ARG001 the fixture pretends
    gpu = describe_environment(CARD)["gpu"]
    assert (gpu["name"], gpu["capability"], gpu["driver"]) == ("A Card", "9.0", "570.86.15")
    lasting = lasting_facts(CARD)
    assert lasting["gpu"] == gpu
    assert "git" not in lasting


def test_clocks_are_numbers(gpus):  # noqa: ARG001
    clocks = {"sm_mhz": 1980, "max_sm_mhz": 1980, "memory_mhz": None}
    assert gpu_clocks(CARD) == clocks | {"throttle_reasons": "0x0000000000000001"}


@pytest.mark.parametrize(
    "error", [FileNotFoundError("nvidia-smi"), subprocess.CalledProcessError(6, "nvidia-smi")]
)
def test_without_nvidia_smi_its_facts_are_null(gpus, monkeypatch, error):  # noqa: ARG001
    def fail(_):
        raise error

    monkeypatch.setattr(environment, "_output", fail)
    assert describe_environment(CARD)["gpu"]["driver"] is None
    assert set(gpu_clocks(CARD).values()) == {None}


def test_the_device_asked_for_becomes_the_current_one(gpus):
    """Clocks and memory are read of the current device; timing another would be wrong."""
    assert resolve_device("cuda:1") == CARD
    assert gpus == [CARD]


@pytest.mark.parametrize("name", ["mps", "xpu", "meta"])
def test_a_device_whose_work_is_not_waited_for_is_refused(name):
    with pytest.raises(DeviceError, match=f"{name}: clocks do not wait"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_gpus_are_dealt_out_to_workers(gpus, name):  # noqa: ARG001 the fixture pretends
    found = [resolve_device(name, worker=worker).index for worker in range(4)]
    assert found == [0, 1, 0, 1]
    with pytest.raises(DeviceError):
        resolve_device("cuda:2")


@pytest.mark.parametrize(
    "backend", [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul, torch.backends]
)
def test_without_tf32_old_switches_can_still_be_read(switches, backend):  # noqa: ARG001
    backend.fp32_precision = "tf32"
    forbid_tf32()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        pass
    assert describe_environment(CPU)["determinism"]["matmul_fp32_precision"] == "ieee"


def test_a_sampler_that_turns_tf32_on_is_timed_under_another_key(gpus, switches):  # noqa: ARG001
    forbid_tf32()
    before = device_key(CARD, "float32")
    assert before.endswith("/float32/ieee")
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    assert device_key(CARD, "float32").endswith("/float32/conv ieee, matmul tf32")
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    assert device_key(CARD, "float32").endswith("/float32/tf32")
    forbid_tf32()
    torch.backends.cudnn.allow_tf32 = True  # the old switch
    assert device_key(CARD, "float32").endswith("/float32/conv tf32, matmul ieee")
