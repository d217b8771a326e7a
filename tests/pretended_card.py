"""A CUDA device that is not there: its tensors say ``cuda:0``, hold CPU data and refuse to mix.

Every operation runs on the CPU, so values and control flow are real. What a GPU would refuse is
refused. What its host would wait for is written down with the line of ours that asked for it:
values that Python reads, tensors whose shape depends on values, and copies between host and card,
but for those from pinned memory that were asked not to wait.

Torch has no public way to do this, so the pretence holds for the versions that it was tried with.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import torch._dynamo  # which torch imports when it first needs it, and then compares signatures
from torch.utils._python_dispatch import TorchDispatchMode

import invbench

TRIED = ("2.14",)
PACKAGE = f"{Path(invbench.__file__).parent}/"
CARD = torch.device("cuda", 0)
aten = torch.ops.aten

CROSSING = {aten._to_copy.default, aten.copy_.default}
# Indices may come from the host; the card copies them first.
INDEXING = {
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
}
# What Python reads, or what the shape of the next tensor hangs on.
WAITING = {
    aten._local_scalar_dense.default,
    aten._unique2.default,
    aten.bincount.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten.repeat_interleave.Tensor,
}
PINNING = {aten.pin_memory.default, aten._pin_memory.default}

without_a_card = pytest.mark.skipif(
    torch.cuda.is_available() or not torch.__version__.startswith(TRIED),
    reason=f"the card is pretended with torch {', '.join(TRIED)} where there is no real one",
)


class DeviceMixError(RuntimeError):
    """What a GPU would have refused."""


class OnCard(torch.Tensor):
    """A tensor that says it is on the card; ``host`` holds its values."""

    @staticmethod
    def __new__(cls, host):
        shape = torch.empty_strided(host.size(), host.stride(), dtype=host.dtype, device="meta")
        return torch.Tensor._make_subclass(
            cls, shape, False, dispatch_device=True, device_for_backend_keys=CARD
        )

    def __init__(self, host):
        self.host = host

    def __repr__(self):
        return f"OnCard({tuple(self.shape)}, {self.dtype})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:
            return CARD
        raise RuntimeError(f"{func}: a tensor of the pretended card outlived it")


class Card(TorchDispatchMode):
    """Carries out on the CPU what the card is asked for.

    Attributes:
        launches: line -> operations on the card.
        waits: (what, line) -> times the host waits for the card.
        copies: (direction, line) -> copies between host and card, whether waited for or not.
    """

    def __init__(self):
        super().__init__()
        self.launches = Counter()
        self.waits = Counter()
        self.copies = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.ops.prim.device.default:
            return CARD
        if func is aten._has_compatible_shallow_copy_type.default:
            return False
        if func in PINNING:
            return _marked_as_pinned(args[0].clone())
        call = Call.of(func, args, kwargs)
        if not (call.card or call.to_card):
            pinned = kwargs.pop("pin_memory", False)
            found = func(*args, **kwargs)
            return _marked_as_pinned(found) if pinned else found
        if is_composite(func):
            with self:  # inference mode hands these over whole
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        place = line()
        call.refuse_mixes(place)
        self._note(call, place)
        return call.run()

    def _note(self, call, place):
        """Count what the call costs beyond its computation."""
        self.launches[place] += 1
        if call.card and call.func in WAITING:
            self.waits[call.name, place] += 1
        if call.card and call.indexed_by_mask:
            self.waits["index by mask", place] += 1
        if call.card and call.host_indices:
            self.copies["index to card", place] += 1
            self.waits["index to card", place] += 1
        if direction := call.crosses:
            self.copies[direction, place] += 1
            if not call.unhurried:
                self.waits[direction, place] += 1


class Call(SimpleNamespace):
    """An operation, and where its tensors are."""

    @classmethod
    def of(cls, func, args, kwargs):
        tensors = [t for t in leaves((*args, *kwargs.values())) if isinstance(t, torch.Tensor)]
        asked = kwargs.get("device")
        asked = None if asked is None else torch.device(asked)
        return cls(
            func=func,
            args=args,
            kwargs=kwargs,
            name=str(func).split(".")[1],
            card=[t for t in tensors if isinstance(t, OnCard)],
            host=[t for t in tensors if not isinstance(t, OnCard)],
            asked=asked,
            to_card=asked is not None and asked.type == "cuda",
        )

    def refuse_mixes(self, place):
        """Raise for what a GPU would raise for."""
        if self.to_card and self.asked.index not in (None, 0):
            raise DeviceMixError(f"{self.func}: no {self.asked}, at {place}")
        generator = self.kwargs.get("generator")
        if generator is not None and generator.device.type != "cuda":
            raise DeviceMixError(f"{self.func}: a generator of the CPU, at {place}")
        foreign = [t for t in self.host if t.ndim > 0]
        if self.card and foreign and self.func not in CROSSING and not self.host_indices:
            raise DeviceMixError(f"{self.func}: tensors of {CARD} and of the CPU, at {place}")

    @property
    def host_indices(self):
        """Tell whether what comes from the host is nothing but indices."""
        foreign = [t for t in self.host if t.ndim > 0]
        whole = all(t.dtype in (torch.int64, torch.bool, torch.uint8) for t in foreign)
        first = self.func in INDEXING and isinstance(self.args[0], OnCard)
        return bool(foreign) and first and whole

    @property
    def indexed_by_mask(self):
        indexes = self.func in INDEXING
        return indexes and any(t is not None and t.dtype == torch.bool for t in self.args[1])

    @property
    def crosses(self):
        """Return "to card", "to host", or None."""
        if self.func is aten._to_copy.default and self.asked is not None:
            if self.to_card != bool(self.card):
                return "to card" if self.to_card else "to host"
        elif self.func is aten.copy_.default and self.card and self.host:
            return "to card" if isinstance(self.args[0], OnCard) else "to host"
        return None

    @property
    def unhurried(self):
        """Tell whether the host goes on while the copy is made."""
        asked = self.kwargs.get("non_blocking") or self.args[2:3] == (True,)
        source = self.args[0] if self.func is aten._to_copy.default else self.args[1]
        return bool(asked) and getattr(source, "is_pinned_memory", False)

    def run(self):
        """Compute on the CPU; the result is on the card unless it was asked for elsewhere."""
        if self.name == "_fused_sdp_choice":
            return 0
        stays = bool(self.card) or self.to_card
        if self.func is aten._to_copy.default and self.asked is not None:
            stays = self.to_card
        elif self.func is aten._local_scalar_dense.default:
            stays = False
        elif self.func is aten.copy_.default:
            stays = isinstance(self.args[0], OnCard)
        kwargs = self.kwargs | ({"device": torch.device("cpu")} if self.asked else {})
        kwargs |= {"pin_memory": False} if "pin_memory" in kwargs else {}
        args = mapped(_on_host, self.args)
        found = self.func(*args, **{name: mapped(_on_host, kwargs[name]) for name in kwargs})
        known = {id(t.host): t for t in self.card}
        return mapped(lambda value: self._labelled(value, known, stays), found)

    def _labelled(self, value, known, stays):
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in known:  # changed in place
            return known[id(value)]
        if not stays:
            return value
        # A view of a tensor from before inference mode is none of that mode either.
        outside = self.func.is_view and not self.args[0].is_inference()
        with torch.inference_mode(mode=False) if outside else nullcontext():
            return OnCard(value)


def _on_host(value):
    return value.host if isinstance(value, OnCard) else value


def _marked_as_pinned(tensor):
    tensor.is_pinned_memory = True
    return tensor


@cache
def is_composite(func):
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def leaves(values):
    """Yield what arguments of an operation hold, out of lists and tuples."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from leaves(value)
        else:
            yield value


def mapped(function, value):
    """Apply a function to a value, or to all that a list or a tuple holds."""
    if isinstance(value, list | tuple):
        return type(value)(mapped(function, part) for part in value)
    return function(value)


def line():
    """Return the innermost line of the package that is being run, as ``models/ddrm.py:120``."""
    frame = sys._getframe(1)
    while frame:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE):
            return f"{path.removeprefix(PACKAGE)}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


@contextmanager
def pretended_card():
    """Pretend that there is one GPU; yield what was asked of it."""
    properties = SimpleNamespace(
        name="Pretended", major=9, minor=0, total_memory=80 << 30, uuid="0", multi_processor_count=1
    )
    answers = {
        "torch.cuda._lazy_init": None,
        "torch.cuda.is_available": True,
        "torch.cuda.is_initialized": True,
        "torch.cuda.is_bf16_supported": True,
        "torch.cuda.current_device": 0,
        "torch.cuda.device_count": 1,
        "torch.cuda.set_device": None,
        "torch.cuda.get_rng_state": torch.zeros(16, dtype=torch.uint8),
        "torch.cuda.synchronize": None,
        "torch.cuda.empty_cache": None,
        "torch.cuda.reset_peak_memory_stats": None,
        "torch.cuda.max_memory_allocated": 0,
        "torch.cuda.get_device_properties": properties,
        "torch.cuda.amp.common.amp_definitely_not_available": False,
    }
    torch._C._ensureCUDADeviceGuardSet()  # without a driver it does nothing
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") by a copy
    card = Card()
    with ExitStack() as stack:
        stack.callback(torch._C._set_only_lift_cpu_tensors, False)
        for name, answer in answers.items():
            stack.enter_context(mock.patch(name, _answering(answer)))
        same = lambda one, other: type(one) is type(other)  # noqa: E731
        stack.enter_context(mock.patch("torch._has_compatible_shallow_copy_type", same))
        stack.enter_context(card)
        yield card


def _answering(answer):
    return lambda *_, **__: answer
