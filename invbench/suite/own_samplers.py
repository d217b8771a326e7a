"""Samplers of the user's own, from the option's text to a sampler of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import UnknownNameError
from invbench.evaluation import Facts, Subject
from invbench.models import MODELS, REFERENCE, load_factory
from invbench.suite.fingerprint import source_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from invbench.models import Sampler


@dataclass(frozen=True)
class OwnSampler:
    """A sampler of the user's own, given as ``NAME=package.module:factory``.

    Attributes:
        name: takes the place of a model id.
        source: ``package.module:factory``.
        factory: ``factory(task=..., device=...)`` returns the sampler.
    """

    name: str
    source: str
    factory: Callable[..., Sampler]

    @classmethod
    def parse(cls, text: str) -> OwnSampler:
        """Read the option's text and import the factory.

        Raises:
            UnknownNameError: if the text has another form, the name is a model's, or there is no
                such factory.
        """
        name, _, source = text.partition("=")
        if not (name and source) or name in (*MODELS, REFERENCE):
            raise UnknownNameError(
                f"--sampler {text}: expected NAME=package.module:factory with a name of your own"
            )
        return cls(name, source, load_factory(source))

    def subject(self, task: str, device: torch.device) -> Subject:
        """Build the sampler of a task, and note by what it is known again."""
        sampler = self.factory(task=task, device=device)
        facts = Facts(
            source=self.source,
            source_sha256=source_digest(self.factory, self.source.partition(":")[0], sampler),
            stochastic=getattr(sampler, "stochastic", None),
        )
        return Subject(sampler, facts)
