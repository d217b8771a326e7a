"""What can be had without learning from many examples: the exact posterior of a simple prior.

The prior is a `GaussianField` whose five numbers were fitted to photographs once, by
``benchmarks/studies/fit_reference.py``, and stand in ``reference.toml``. A sampler is worth its
training as far as it is better than this: see `skill` in a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.data.synthetic import GaussianField
from invbench.errors import InvalidRecordError, UnknownNameError
from invbench.models.gaussian import GaussianPosterior
from invbench.models.jpeg_cells import JpegPosterior
from invbench.models.noisy_posterior import NoisyPosterior, is_tractable
from invbench.operators import (
    LinearBicubic,
    LinearGray,
    LinearMasking,
    PillowJpeg,
    VariedMasking,
)
from invbench.runs.typed_json import build, named, read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from invbench.models.method import Sampler
    from invbench.problems import Problem

REFERENCE = "reference"
TINY = 1e-4 / 255  # in place of no noise
ROUNDING = 1 / 255 / 12**0.5  # standard deviation of what rounding to 8 bits changes
_FILE = Path(__file__).with_name("reference.toml")


@dataclass(frozen=True, kw_only=True)
class PhotographPrior:
    """A stationary Gaussian model of photographs, the same at all sizes.

    Attributes:
        version: changes whenever a number or a sampler does.
        mean: of every value.
        std: of every value.
        length: correlation length, in sides of the image.
        exponent: of the correlation, see `GaussianField`.
        color_correlation: between any two colour channels.
    """

    version: str
    mean: float
    std: float
    length: float
    exponent: float
    color_correlation: float

    def field(self, height: int, width: int) -> GaussianField:
        """Return the prior of images of a size."""
        return GaussianField(
            height,
            width,
            mean=self.mean,
            std=self.std,
            length=self.length * min(height, width),
            exponent=self.exponent,
            color_correlation=self.color_correlation,
        )


@cache
def fitted_prior() -> PhotographPrior:
    """Return the prior with the shipped numbers."""
    return read_prior(_FILE)


def read_prior(path: Path) -> PhotographPrior:
    """Read the numbers of a prior from a TOML file.

    Raises:
        MissingDataError: if there is no such file.
        InvalidRecordError: if it is damaged, or lacks a number.
    """
    try:
        prior: PhotographPrior = build(PhotographPrior, read_toml(path))
    except InvalidRecordError as error:
        raise named(error, path) from error
    return prior


def has_reference(problem: Problem) -> bool:
    """Tell whether there is a reference sampler: for JPEG, and for what is linear.

    A linear function of which nothing else is known must have 4096 measurements at most.
    """
    if isinstance(problem.operator, PillowJpeg):
        return problem.operator.subsampling == "4:2:0"
    if isinstance(problem.operator, VariedMasking):
        return True
    field = fitted_prior().field(*problem.size)
    return problem.linear is not None and is_tractable(problem.linear, field)


def reference_sampler(problem: Problem, prior: PhotographPrior | None = None) -> Sampler:
    """Return the posterior sampler of the fitted prior for what a problem observes.

    Where the operator has a linear twin, the observation is taken for that of the twin. Reduction
    and gray without noise are inverted exactly, and so are masks, but for what cannot be seen;
    other observations without noise are taken to have that of rounding to 8 bits. JPEG's
    coefficients are known up to their cells.

    Args:
        problem: the forward process, its noise and the size of the targets.
        prior: in place of the fitted one.

    Raises:
        UnknownNameError: if there is no such sampler for the problem.
    """
    field, linear = (prior or fitted_prior()).field(*problem.size), problem.linear
    if isinstance(problem.operator, PillowJpeg) and problem.operator.subsampling == "4:2:0":
        return JpegPosterior(field, problem.operator.quality)
    if isinstance(problem.operator, VariedMasking):
        return partial(_fill, problem, field)
    if linear is None:
        raise UnknownNameError(f"no reference sampler for the operator {problem.operator.name}")
    if isinstance(linear, LinearBicubic | LinearGray) and not problem.noise:
        return GaussianPosterior(field, linear)
    exact = TINY if isinstance(linear, LinearMasking) else ROUNDING
    return NoisyPosterior(field, linear, problem.noise.std or exact)


def _fill(
    problem: Problem,
    field: GaussianField,
    observation: Tensor,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Draw from the posterior of rows that hide pixels of their own, float32 in [0, 1]."""
    masking = problem.at(observation).linear
    assert masking is not None
    return NoisyPosterior(field, masking, TINY)(observation[:, :3], generators)
