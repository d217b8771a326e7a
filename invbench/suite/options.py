"""What a user can choose, declared once: ``--invbench-seed`` for pytest, ``--seed`` elsewhere."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from invbench.executors import EXECUTORS, LOCAL
from invbench.gate import check_alpha

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection

PREFIX = "--invbench-"  # of options under pytest


def _option(help_text: str, *, default: Any, **arguments: Any) -> Any:
    """Declare a field that is also a command line option; ``arguments`` are argparse's."""
    metadata = {"help": help_text, "arguments": arguments}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def _error_rate(text: str) -> float:
    """Parse a family-wise error rate that the gate can keep, or have argparse refuse it."""
    try:
        check_alpha(alpha := float(text))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return alpha


def at_least_one(text: str) -> int:
    """Parse a whole number from 1 up, or have argparse refuse it."""
    return _at_least(1, text)


def _at_least_none(text: str) -> int:
    return _at_least(0, text)


def _at_least(fewest: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < fewest:
        raise ArgumentTypeError(f"{text!r}: give a whole number from {fewest} up")
    return number


@dataclass(frozen=True, kw_only=True)
class Options:
    """Choices of a run; every field is an option of the same name."""

    profile: str = _option(
        "size of the suite: tiny (embedded data and weights), small or paper", default="tiny"
    )
    device: str = _option("auto, cpu, cuda or cuda:N", default="auto")
    dtype: str = _option(
        "precision of networks", default="float32", choices=("float32", "bfloat16")
    )
    seed: int = _option("root seed of all samples", default=0, type=int)
    images: int | None = _option("images a case, in place of the profile's", default=None, type=int)
    samples: int | None = _option(
        "samples an image, in place of the profile's", default=None, type=int
    )
    pictures: int = _option(
        "images a case, the first, of which the run keeps pictures for its report, and of the "
        "worst besides",
        default=4,
        type=_at_least_none,
    )
    chunk_size: int | None = _option(
        "samples drawn in one call of a sampler, in place of the profile's; they do not depend on "
        "it, and where memory runs out it is halved",
        default=None,
        type=int,
    )
    results: Path | None = _option(
        "folder for records (default: results/<time>)", default=None, type=Path, metavar="DIR"
    )
    resume: bool = _option(
        "continue the run in the results folder: keep its cases that are whole",
        default=False,
        action="store_true",
    )
    fresh: bool = _option(
        "delete the run in the results folder first", default=False, action="store_true"
    )
    shard: str | None = _option(
        "measure part i of n of the selected cases; see `invbench merge`",
        default=None,
        metavar="I/N",
    )
    executor: str = _option(
        "who measures the cases: this process, or workers that SLURM or Ray starts on other "
        "machines",
        default=LOCAL,
        choices=EXECUTORS,
    )
    executor_setting: list[str] = _option(
        "what each worker asks SLURM or Ray for, as slurm_partition=gpu, timeout_min=120 or "
        "num_cpus=4; repeatable",
        default=[],
        action="append",
        metavar="KEY=VALUE",
    )
    checkpoints: Path | None = _option(
        "folder of weights (default: fixtures/checkpoints)",
        default=None,
        type=Path,
        metavar="DIR",
    )
    data: Path | None = _option(
        "folder of target photographs (default: those that come with scikit-image and matplotlib)",
        default=None,
        type=Path,
        metavar="DIR",
    )
    world: str | None = _option(
        "replace photographs by draws of a known law, and hand samplers of your own its exact "
        "denoiser: gaussian or mixture; tasks with a linear twin, so not decompression",
        default=None,
        choices=("gaussian", "mixture"),
    )
    groups: Literal["image", "folder"] = _option(
        "whether each image of a folder is a photograph of its own, or those of one sub-folder are",
        default="image",
        choices=("image", "folder"),
    )
    sampler: list[str] = _option(
        "add a sampler of your own; factory(problem, device) returns it; or one that an installed "
        "package offers, by its name; repeatable",
        default=[],
        action="append",
        metavar="NAME=PACKAGE.MODULE:FACTORY",
    )
    task: list[str] = _option(
        "task to measure on, in place of the study's three: a built-in one by its name, as sr4 or "
        "deblur-motion+n5 (see `invbench list`), or one of your own; repeatable",
        default=[],
        action="append",
        metavar="NAME[=PACKAGE.MODULE:FACTORY]",
    )
    require: str = _option(
        "models or cases, comma-separated, or all: missing weights are then a failure, not a skip",
        default="",
        metavar="NAMES",
    )
    columns: str = _option(
        "columns of the closing table, comma-separated, named as in `invbench report -o x.csv`; "
        "or all, for the full table",
        default="",
        metavar="NAMES",
    )
    lpips_net: str = _option("trunk of LPIPS", default="alex", choices=("alex", "vgg", "squeeze"))
    lpips_weights: Path | None = _option(
        "the trunk's weights, a file of torchvision's",
        default=None,
        type=Path,
        metavar="FILE",
    )
    baseline: Path | None = _option(
        "what the gate compares with: a baseline's name or file, or a run "
        "(default: this device's and profile's, if there is one)",
        default=None,
        type=Path,
        metavar="FILE|NAME",
    )
    gate: str = _option(
        "what fails: nothing (off, warn), what got worse, or what is not shown to be no worse",
        default="regression",
        choices=("off", "warn", "regression", "noninferiority"),
    )
    alpha: float = _option("family-wise error rate of the gate", default=0.05, type=_error_rate)
    strict: bool = _option(
        "fail samplers of your own that break the contract, too: that depend on their batch or on "
        "global generators, or repeat samples; the built-in methods always fail by that",
        default=False,
        action="store_true",
    )
    freed_memory: str = _option(
        "keep it in the process, which halves the time of diffusion models on a CPU (Linux), or "
        "return it to the system",
        default="keep",
        choices=("keep", "return"),
    )
    offline: bool = _option("never download", default=False, action="store_true")


def add_options(
    add: Callable[..., object], *, prefix: str = "--", only: Collection[str] | None = None
) -> None:
    """Declare options with ``parser.add_argument`` or pytest's ``group.addoption``.

    Args:
        add: either of the two.
        prefix: what the option's name follows.
        only: the names to declare; all by default.
    """
    for option in fields(Options):
        if only is None or option.name in only:
            add(
                prefix + _written(option.name),
                help=option.metadata["help"],
                default=[] if option.default is MISSING else option.default,
                **option.metadata["arguments"],
            )


def read_options(arguments: argparse.Namespace) -> Options:
    """Collect the options among parsed arguments; options not declared keep their defaults."""
    names = [option.name for option in fields(Options) if hasattr(arguments, option.name)]
    return Options(**{name: getattr(arguments, name) for name in names})


def under_pytest(message: str) -> str:
    """Return a message, which names options as the commands do, with their names under pytest.

    >>> under_pytest("--samples 1: give at least 2")
    '--invbench-samples 1: give at least 2'
    """
    names = "|".join(_written(option.name) for option in fields(Options))
    return re.sub(rf"(?<![\w-])--(?=(?:{names})(?![\w-]))", PREFIX, message)


def as_arguments(options: Options, *, prefix: str = PREFIX) -> list[str]:
    """Write options as the arguments of a command; those at their defaults are left out.

    >>> as_arguments(Options(seed=1, sampler=["a=lab:a", "b=lab:b"]))
    ['--invbench-seed=1', '--invbench-sampler=a=lab:a', '--invbench-sampler=b=lab:b']
    """
    arguments = []
    for option in fields(Options):
        name, value = prefix + _written(option.name), getattr(options, option.name)
        if value == getattr(Options(), option.name):
            continue
        values = value if isinstance(value, list) else [value]
        arguments += [name if each is True else f"{name}={each}" for each in values]
    return arguments


def _written(name: str) -> str:
    return name.replace("_", "-")
