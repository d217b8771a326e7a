"""Built-in tasks by name, as ``sr4``, ``jpeg10``, ``denoise25`` or ``deblur-gaussian+n5``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from invbench.errors import UnknownNameError
from invbench.operators import (
    CircularBlur,
    Linear,
    LinearBicubic,
    LinearBlur,
    LinearGray,
    LinearMasking,
    Masking,
    Operator,
    PillowBicubic,
    PillowGray,
    PillowJpeg,
    Unrounded,
    VariedMasking,
)
from invbench.operators.blur import Gaussian, Motion
from invbench.operators.masks import Box, Everything, Scattered
from invbench.problems.noise import Noise
from invbench.problems.tasks import TASKS, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVELS = 255  # a noise's number is its standard deviation in these

Twin: TypeAlias = Callable[[int, int], Linear]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Tasks that differ by a whole number N, or a single task.

    Attributes:
        name: with N in place of the number.
        asks: what samplers have to do, in a few words.
        make: gives, for N, the forward process and its linear twin, or None where it has none.
        numbers: the values of N; none for a single task.
        denoises: whether N is the noise's.
    """

    name: str
    asks: str
    make: Callable[[int], tuple[Operator, Twin | None]]
    numbers: Sequence[int] = ()
    denoises: bool = False

    def number_in(self, name: str) -> int | None:
        """Return the N of a task's name, 0 for a single task, None for a task of another family."""
        if not self.numbers:
            return 0 if name == self.name else None
        match = re.fullmatch(self.name.replace("N", r"(0|[1-9][0-9]*)"), name)
        return int(match[1]) if match and int(match[1]) in self.numbers else None


def _masking(mask: Box | Scattered) -> tuple[Operator, Twin]:
    return Masking(mask), partial(LinearMasking, mask=mask)


def _blur(kernel: Gaussian | Motion) -> tuple[Operator, Twin]:
    return CircularBlur(kernel), partial(LinearBlur, kernel=kernel)


def _nothing() -> tuple[Operator, Twin]:
    twin = partial(LinearMasking, mask=Everything())
    return Unrounded("identity", twin), twin


FAMILIES = (
    Family(
        name="srN",
        asks="enlarge N times (Pillow's bicubic)",
        make=lambda n: (PillowBicubic(factor=n), partial(LinearBicubic, factor=n)),
        numbers=(2, 4, 8, 16),
    ),
    Family(
        name="jpegN",
        asks="undo JPEG of quality N; decompression is jpeg1",
        make=lambda n: (PillowJpeg(quality=n), None),
        numbers=range(1, 96),
    ),
    Family(
        name="colorization",
        asks="colour a gray image",
        make=lambda _: (PillowGray(), LinearGray),
    ),
    Family(
        name="inpaint-box",
        asks="fill a centred box of half the image's side",
        make=lambda _: _masking(Box(0.5)),
    ),
    Family(
        name="inpaint-random50",
        asks="fill half of the pixels, scattered",
        make=lambda _: _masking(Scattered(0.5)),
    ),
    Family(
        name="inpaint-varied50",
        asks="the same, others in each image; a fourth channel shows which (1: not hidden)",
        make=lambda _: (VariedMasking(0.5), None),
    ),
    Family(
        name="deblur-gaussian",
        asks="undo a Gaussian blur of std 1.5 pixels, across periodic borders",
        make=lambda _: _blur(Gaussian(1.5)),
    ),
    Family(
        name="deblur-motion",
        asks="undo a movement of 9 pixels at 30 degrees, across periodic borders",
        make=lambda _: _blur(Motion(9.0, 30.0)),
    ),
    Family(
        name="denoiseN",
        asks="take away noise of std N levels of 255",
        make=lambda _: _nothing(),
        numbers=range(1, 256),
        denoises=True,
    ),
)


def find_task(name: str) -> Task:
    """Return a built-in task: one of the study's, or of a family, with or without noise.

    ``+nS`` behind the name of a task with a linear twin adds normal noise of std S levels of 255.
    The forward process is then the twin itself, and observations are neither rounded nor clamped,
    so that the noise keeps its law.

    Raises:
        UnknownNameError: if there is no such task, or noise has no place in it.

    Example:
        >>> find_task("sr4+n5").noise.std * 255
        5.0
        >>> find_task("deblur-motion").problem((64, 64)).observation_shape
        (3, 64, 64)
    """
    if name in TASKS:
        return TASKS[name]
    base, _, noise = name.partition("+")
    family, number = _family(base)
    operator, twin = family.make(number)
    if family.denoises:
        noise = noise or f"n{number}"
    if not noise:
        return Task(name=name, version="1", operator=operator, linear=twin)
    match = re.fullmatch(r"n([0-9]+(?:\.[0-9]+)?)", noise)
    if match is None or twin is None or (family.denoises and "+" in name):
        raise UnknownNameError(
            f"task {name!r}: noise is added as +nS, S levels of 255, to a task with a linear twin; "
            f"{base} has {'none' if twin is None else 'one'}"
        )
    std = Noise(float(match[1]) / LEVELS)
    return Task(name=name, version="1", operator=_unrounded(operator, twin), linear=twin, noise=std)


def _family(name: str) -> tuple[Family, int]:
    """Return the family of a name without noise, and its number."""
    for family in FAMILIES:
        number = family.number_in(name)
        if number is not None:
            return family, number
    known = [*TASKS, *(each.name for each in FAMILIES)]
    raise UnknownNameError.among("task", name, dict.fromkeys(known))


def _unrounded(operator: Operator, twin: Twin) -> Unrounded:
    """Return the linear twin as a forward process for images of any size."""
    if isinstance(operator, Unrounded):
        return operator
    kind: Any = getattr(twin, "func", twin)
    params = {k: v for k, v in operator.identity()["params"].items() if k != "quantization"}
    return Unrounded(kind.name, twin, params)
