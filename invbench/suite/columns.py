"""Which columns can the closing table have?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.errors import InvalidOptionError, UnknownNameError
from invbench.evaluation.skill import SKILLS
from invbench.evaluation.summary import INTERVAL_SCORES
from invbench.evaluation.targets import DIVERSITY, names_by
from invbench.metrics import LPIPS_NAMES
from invbench.report.closing import ALL
from invbench.report.spreadsheet import INTERVAL, THROUGHPUT

if TYPE_CHECKING:
    from invbench.suite.options import Options


def chosen_columns(options: Options) -> list[str]:
    """Return the names of the columns that the user chose, in that order.

    >>> from invbench.suite import Options
    >>> chosen_columns(Options(columns="psnr, nfe"))
    ['psnr', 'nfe']
    """
    return [name for each in options.columns.split(",") if (name := each.strip())]


def check_columns(options: Options) -> None:
    """Refuse columns that no case of any run has; `closing.ALL` stands for the full table.

    What only cases of other runs have, as an LPIPS by other weights, is let pass: the table itself
    says that it is not there.

    Raises:
        InvalidOptionError: for the full table beside other names.
        UnknownNameError: with names that it may be instead.
    """
    known, chosen = known_columns(), chosen_columns(options)
    if chosen == [ALL]:
        return
    if ALL in chosen:
        raise InvalidOptionError(f"--columns {options.columns}: {ALL} is the full table, alone")
    for name in chosen:
        if name not in known:
            raise UnknownNameError.among("--columns", name, known)


def known_columns() -> frozenset[str]:
    """Return every name that `report.numbers_of` may give to a number of a case."""
    metrics = ("psnr", "ssim", *LPIPS_NAMES)
    validity = (*metrics, "chi_squared_error")
    against_target = (*(name for metric in metrics for name in names_by(metric)), DIVERSITY)
    return frozenset(
        [
            *("images", "samples", "chi_squared", "noise_fit"),
            *(name for metric in validity for name in (metric, f"{metric}_stderr")),
            *(f"target_{name}" for name in against_target),
            *(f"{name}_skill" for name in SKILLS),
            *(*INTERVAL, *INTERVAL_SCORES, *THROUGHPUT),
        ]
    )
