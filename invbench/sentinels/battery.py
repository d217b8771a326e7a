"""All checks together: how they share one rate of false alarms, and what they find.

Some checks can never raise a false alarm: an exact sampler's samples are finite, agree with the
observation up to rounding, and differ from each other. All other checks share the battery's rate
of false alarms (Bonferroni), so an exact sampler is flagged by any of them with at most that
probability, however the checks depend on each other. That is exact for bands from roles. Bands
from Student's t assume near-normality, so checks with such bands get a smaller share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.sentinels.checks import BATTERY

if TYPE_CHECKING:
    from invbench.sentinels.bands import Measured
    from invbench.sentinels.checks import Band, Probe
    from invbench.sentinels.evidence import Evidence

RATE = 0.02

# At a nominal 0.2 %, Student's bands were left by exact samplers in 0.4 to 0.5 % of 1000 trials
_SHARES: dict[Band, float] = {"exact": 0, "roles": 1, "kolmogorov": 1, "student": 0.25}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: the name of the check.
        measured: value, band and p-value.
        flagged: whether it raises an alarm.
    """

    check: str
    measured: Measured
    flagged: bool


def examine(evidence: Evidence, *, rate: float = RATE) -> tuple[Finding, ...]:
    """Run all checks that apply to the evidence.

    The first check asks whether all samples are finite and in [0, 1]. If it raises an alarm, no
    other check is made.

    Args:
        evidence: samples, targets and observations.
        rate: probability that an exact sampler is flagged by any check.
    """
    first, *others = BATTERY
    found = _run(first, evidence, 0)
    if found.flagged:
        return (found,)
    checks = [c for c in others if not (c.needs_posterior and evidence.posterior_std is None)]
    unit = rate / sum(_SHARES[check.band] for check in checks)
    return found, *(_run(check, evidence, unit * _SHARES[check.band]) for check in checks)


def flags(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Return the names of the checks that raised an alarm."""
    return tuple(finding.check for finding in findings if finding.flagged)


def _run(check: Probe, evidence: Evidence, share: float) -> Finding:
    measured = check.function(evidence, share)
    return Finding(check.name, measured, measured.p_value <= share)
