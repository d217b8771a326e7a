"""What the study says of its methods, as a list that a run can be held against.

Every claim says that some methods are ahead of all others in a score. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invbench.runs import CaseRecord

MODELS = ("bicyclegan", "msgan", "divco", "monce", "ddrm", "ndm", "cimle", "chimle")
CODES = ("bicyclegan", "msgan", "divco")
IMLE = ("cimle", "chimle")
RANDOM_LPIPS = "lpips_random"

Verdict = Literal["holds", "does not hold", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Some methods' scores are all on one side of all of some others'.

    Attributes:
        text: in our words.
        source: where the study says so, or shows it: its abstract, its text or its table.
        score: "width", "reobservation width", or a metric of validity.
        ahead: the methods that are said to have more of it, or less.
        behind: the methods that they are compared with.
        more: whether ``ahead`` has more.
    """

    text: str
    source: Literal["abstract", "text", "table"]
    score: str
    ahead: tuple[str, ...]
    behind: tuple[str, ...]
    more: bool = True


@dataclass(frozen=True)
class Finding:
    """A claim on one task, held against a run.

    Attributes:
        claim: which.
        ahead: of the methods said to be ahead, the value nearest to the others'.
        behind: of the others, the value nearest to those.
        verdict: whether the first is ahead of the second.
    """

    claim: Claim
    ahead: float | None
    behind: float | None
    verdict: Verdict


def _others(*models: str) -> tuple[str, ...]:
    return tuple(model for model in MODELS if model not in models)


CLAIMS = (
    *(
        Claim(
            text=f"CHIMLE's samples give back the observation best ({score})",
            source="abstract",
            score=score,
            ahead=("chimle",),
            behind=_others("chimle"),
            more=score != "lpips",
        )
        for score in ("psnr", "ssim", "lpips")
    ),
    Claim(
        text="cIMLE and CHIMLE give it back better than the GANs that are given a code (psnr)",
        source="table",
        score="psnr",
        ahead=IMLE,
        behind=CODES,
    ),
    Claim(
        text="MoNCE has the least diversity (width of its intervals)",
        source="text",
        score="width",
        ahead=("monce",),
        behind=_others("monce"),
        more=False,
    ),
    Claim(
        text="BicycleGAN, MSGAN and NDM spread where the input constrains "
        "(width of the reobservations' intervals)",
        source="text",
        score="reobservation width",
        ahead=("bicyclegan", "msgan", "ndm"),
        behind=_others("bicyclegan", "msgan", "ndm"),
    ),
)


def check_claims(records: Mapping[str, CaseRecord], task: str) -> list[Finding]:
    """Hold a run's records, by case id, against every claim on a task."""
    return [_check(claim, records, task) for claim in CLAIMS]


def _check(claim: Claim, records: Mapping[str, CaseRecord], task: str) -> Finding:
    ahead, behind = (
        [_value(records.get(f"{model}-{task}"), claim.score) for model in models]
        for models in (claim.ahead, claim.behind)
    )
    first, second = ([value for value in values if value is not None] for values in (ahead, behind))
    if len(first) < len(ahead) or len(second) < len(behind):
        return Finding(claim, None, None, "not measured")
    nearest = (min(first), max(second)) if claim.more else (max(first), min(second))
    holds = nearest[0] > nearest[1] if claim.more else nearest[0] < nearest[1]
    return Finding(claim, *nearest, "holds" if holds else "does not hold")


def _value(record: CaseRecord | None, score: str) -> float | None:
    """Return a score that a claim can be held against; LPIPS of random weights is none."""
    if score == "lpips" and record is not None and lpips_of(record) == RANDOM_LPIPS:
        return None
    return our_score(record, score)


def our_score(record: CaseRecord | None, score: str) -> float | None:
    """Return a score of a record, or None where it was not measured; for "lpips" see `lpips_of`."""
    if record is None:
        return None
    if score == "lpips":
        score = lpips_of(record) or score
    if score in record.validity:
        return record.validity[score].mean
    interval = record.interval
    if interval is None:
        found = record.spread.get({"reobservation width": "null_space_width"}.get(score, score))
        return found.mean if found else None
    if score == "reobservation width":
        return interval.scores.get("null_space_width", {}).get("value")
    return {"width": interval.mean_width, "coverage": interval.coverage}.get(score)


def lpips_of(record: CaseRecord) -> str | None:
    """Return the name of the LPIPS that a record was scored with; one of trained weights first."""
    names = [name for name in record.validity if name.startswith("lpips")]
    return min(names, key=lambda name: (name == RANDOM_LPIPS, name), default=None)
