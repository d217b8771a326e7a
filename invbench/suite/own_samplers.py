"""Samplers of the user's own, from the option's text to a sampler of a problem."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidSamplerError, UnknownNameError
from invbench.evaluation import Facts, Subject
from invbench.models import MODELS, REFERENCE, load_factory
from invbench.suite.fingerprint import source_digest
from invbench.suite.names import check_name, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from invbench.models import Sampler
    from invbench.problems import Problem

GROUP = "invbench.samplers"  # of the entry points by which packages offer theirs


@dataclass(frozen=True)
class OwnSampler:
    """A sampler of the user's own, given as ``NAME=package.module:factory``.

    Attributes:
        name: takes the place of a model id.
        source: ``package.module:factory``.
        factory: ``factory(problem=..., device=...)`` returns the sampler.
    """

    name: str
    source: str
    factory: Callable[..., Sampler]

    @classmethod
    def parse(cls, text: str) -> OwnSampler:
        """Read the option's text and import the factory.

        A name alone is that of a sampler which an installed package offers.

        Raises:
            UnknownNameError: if the text has another form, the name is a model's or that of no
                installed sampler, or there is no such factory.
            InvalidSamplerError: if the factory does not take a problem and a device.
        """
        name, _, source = text.partition("=")
        source = source or installed(GROUP).get(text, "")
        check_name(f"--sampler {text}", name, source)
        if name in (*MODELS, REFERENCE):
            raise UnknownNameError(
                f"--sampler {text}: {name} is a built-in model; give yours a name of your own"
            )
        factory = load_factory(source)
        _check_factory(factory, source)
        return cls(name, source, factory)

    def subject(self, problem: Problem, device: torch.device, *, dtype: str = "float32") -> Subject:
        """Build the sampler of a problem, and note by what it is known again.

        Args:
            problem: to be solved.
            device: where.
            dtype: "bfloat16" to call the sampler under autocast to that, as a whole.

        Raises:
            UnsupportedProblemError: if the factory says that the problem is none of the sampler's.
            InvalidSamplerError: if it returns something that is no sampler.
        """
        sampler = self.factory(problem=problem, device=device)
        _check_sampler(sampler, self.source)
        facts = Facts(
            source=self.source,
            source_sha256=source_digest(self.factory, self.source.partition(":")[0], sampler),
            stochastic=getattr(sampler, "stochastic", None),
        )
        subject = Subject(sampler, facts)
        nfe = subject.nfe  # what is wrong with it is said before anything is sampled
        if dtype == "bfloat16":
            return Subject(Narrow(sampler, device.type, nfe), facts)
        return subject


@dataclass(frozen=True)
class Narrow:
    """A sampler called under autocast to bfloat16, as nobody knows where its network begins.

    It may except parts of itself by ``torch.autocast(..., enabled=False)``.
    """

    sampler: Sampler
    device_type: str
    nfe: int | None

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample; see `models.Sampler`."""
        with torch.autocast(self.device_type, torch.bfloat16):
            return self.sampler(observation, generators)


def read_samplers(texts: Iterable[str]) -> Mapping[str, OwnSampler]:
    """Return the samplers that the option names, by name.

    Raises:
        UnknownNameError, InvalidSamplerError: see `OwnSampler.parse`; or if two have one name.
    """
    samplers: dict[str, OwnSampler] = {}
    for text in texts:
        own = OwnSampler.parse(text)
        if own.name in samplers:
            raise UnknownNameError(f"--sampler {text}: {own.name} is named twice")
        samplers[own.name] = own
    return samplers


def _check_factory(factory: Callable[..., object], source: str) -> None:
    """Refuse a factory that cannot be called with a problem and a device."""
    try:
        signature = inspect.signature(factory)
    except ValueError:  # of a built-in function nothing is known
        return
    try:
        signature.bind(problem=None, device=None)
    except TypeError as error:
        old = "task" in signature.parameters
        change = (
            "it is no longer given the task's name: take `problem`, which has it as problem.name"
            if old
            else f"define it as {source.partition(':')[2]}(problem, device)"
        )
        raise InvalidSamplerError(
            f"{source}: called with problem=... and device=..., but it takes {signature}; {change}"
        ) from error


def _check_sampler(sampler: object, source: str) -> None:
    """Refuse what cannot be called, or says something unusable of itself."""
    if not callable(sampler):
        raise InvalidSamplerError(
            f"{source} returned {sampler!r}, of type {type(sampler).__name__}; "
            "return a sampler, to be called as sampler(observation, generators)"
        )
    said = getattr(sampler, "stochastic", None)
    if not (said is None or isinstance(said, str)):
        raise InvalidSamplerError(
            f"{source}: its sampler's `stochastic` is {said!r}; give a text, as "
            '"noise", or "none" if samples of one observation do not differ'
        )
