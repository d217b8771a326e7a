"""What can be had without learning from many examples: the exact posterior of a simple prior.

The prior is a `GaussianField` whose five numbers were fitted to photographs once, by
``benchmarks/studies/fit_reference.py``, and stand in ``reference.toml``. A sampler is worth its
training as far as it is better than this: see `skill` in a record.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invbench.data.synthetic import GaussianField
from invbench.errors import UnknownNameError
from invbench.models.gaussian import GaussianPosterior
from invbench.models.jpeg_cells import JpegPosterior
from invbench.operators import LinearBicubic, LinearGray, PillowBicubic, PillowGray, PillowJpeg

if TYPE_CHECKING:
    from invbench.models.method import Sampler
    from invbench.operators import Operator

REFERENCE = "reference"
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
    values: dict[str, Any] = tomllib.loads(_FILE.read_text())
    return PhotographPrior(**values)


def reference_sampler(
    operator: Operator, height: int, width: int, prior: PhotographPrior | None = None
) -> Sampler:
    """Return the posterior sampler of the fitted prior for what an operator observes.

    Where the operator has a linear twin, the observation is taken for that of the twin: what
    rounding to 8 bits does is left out. JPEG's coefficients are known up to their cells.

    Args:
        operator: the forward process.
        height: of the targets.
        width: of the targets.
        prior: in place of the fitted one.

    Raises:
        UnknownNameError: if there is no such sampler for the operator.
    """
    field = (prior or fitted_prior()).field(height, width)
    if isinstance(operator, PillowBicubic):
        return GaussianPosterior(field, LinearBicubic(height, width, operator.factor))
    if isinstance(operator, PillowGray):
        return GaussianPosterior(field, LinearGray(height, width))
    if isinstance(operator, PillowJpeg) and operator.subsampling == "4:2:0":
        return JpegPosterior(field, operator.quality)
    raise UnknownNameError(f"no reference sampler for the operator {operator.name}")
