"""The page's tables of what `gpu.py` measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invbench.files import atomic_write
from invbench.models import CASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

BEGIN, END = "<!-- gpu -->", "<!-- /gpu -->"
DTYPES = ("float32", "bfloat16")

Found = dict[str, Any]


def write_tables(page: Path, found: Found, *, profile: str, samples: int) -> None:
    """Put what was measured between the page's marks, in place of what is there.

    Raises:
        ValueError: if the page has no marks.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page}: no {BEGIN} and {END}")
    text = "\n".join(_lines(found, profile=profile, samples=samples))
    with atomic_write(page) as stream:
        stream.write(f"{before}{BEGIN}\n{text}\n{END}{after}".encode())


def _lines(found: Found, *, profile: str, samples: int) -> Iterator[str]:
    yield f"{found['device']}; profile `{profile}`, random weights, {samples} samples a round."
    if found["environment"]["gpu"] is None:
        yield "This was a CPU: no GPU was at hand, and nothing below speaks of one."
    if tests := found.get("tests"):
        yield f"Tests marked `gpu`: {tests.get('said', tests.get('error'))}."
    yield ""
    yield from _table(
        ("pair", *(f"{dtype} {what}" for dtype in DTYPES for what in COLUMNS)), _speeds(found)
    )
    yield from _table(("score", "largest difference from the CPU", "of"), _agreement(found))
    yield from _table(("function and peer", "times as fast", "range", "ms"), _ratios(found))
    yield from _table(("pair", "precision", "switch", "times as fast as plain"), _switches(found))


COLUMNS = ("s a sample", "first call s", "peak GB", "scoring's share")


def _speeds(found: Found) -> Iterator[Sequence[str]]:
    for case in CASES:
        row = [case.id]
        scoring = found.get(f"evaluation/{case.task}", {}).get("seconds_a_sample")
        for dtype in DTYPES:
            timed = found.get(f"time/{dtype}/{case.id}", {})
            seconds, peak = timed.get("seconds_a_sample"), timed.get("peak_bytes")
            if seconds is None:
                row += [timed.get("error", "-"), "-", "-", "-"]
                continue
            row += [f"{seconds:.3g}", f"{timed['first_call_s']:.3g}"]
            row += [f"{peak / 1e9:.1f}" if peak else "-"]
            row += [f"{scoring / (scoring + seconds):.0%}" if scoring else "-"]
        if any(cell != "-" for cell in row[1:]):
            yield row


def _agreement(found: Found) -> Iterator[Sequence[str]]:
    worst: dict[str, tuple[float, str]] = {}
    for case, measured in _of(found, "agreement/"):
        if "error" in measured:
            yield "-", measured["error"], case
        for name, value in measured.items():
            if isinstance(value, float) and name != "wall_s":
                worst[name] = max(worst.get(name, (-1.0, "")), (value, case))
    for name, (value, case) in worst.items():
        yield name, f"{value:.2g}", case


def _ratios(found: Found) -> Iterator[Sequence[str]]:
    for name, measured in _of(found, "ratio/"):
        if "error" in measured:
            yield name, measured["error"], "-", "-"
        else:
            low, high = measured["range"]
            times = f"{measured['peer_ms']:.3g} -> {measured['ours_ms']:.3g}"
            yield name, f"{measured['ratio']:.3g}", f"{low:.3g}-{high:.3g}", times


def _switches(found: Found) -> Iterator[Sequence[str]]:
    for name, measured in _of(found, "switch/"):
        dtype, case, switch = name.split("/")
        plain = found.get(f"switch/{dtype}/{case}/plain", {}).get("seconds_a_sample")
        seconds = measured.get("seconds_a_sample")
        if switch != "plain":
            known = plain is not None and seconds is not None
            shown = f"{plain / seconds:.2f}" if known else measured.get("error", "-")
            yield case, dtype, switch, shown


def _of(found: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Found]]:
    return ((n.removeprefix(prefix), each) for n, each in found.items() if n.startswith(prefix))


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    if rows := list(rows):
        for cells in (heading, ["---"] * len(heading), *rows):
            yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
        yield ""
