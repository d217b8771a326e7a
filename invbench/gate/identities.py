"""Which of the things that a case's numbers depend on are the same in two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invbench.runs import MEASURED

if TYPE_CHECKING:
    from invbench.gate.snapshots import Snapshot
    from invbench.runs import CaseRecord


def conditions_differ(baseline: Snapshot, candidate: Snapshot, case: str) -> str | None:
    """Say what keeps a whole case from being compared, or return None.

    The model's weights may differ: they are what is compared. Everything else that numbers depend
    on has to agree: profile, operator, data and sampling.
    """
    before, after = baseline.cases[case], candidate.cases[case]
    for side, record in (("baseline", before), ("candidate", after)):
        if record.status not in MEASURED:
            return f"{record.status} in the {side}: {record.reason or 'no reason was recorded'}"
        if not record.validity and record.interval is None:
            return f"nothing was measured in the {side}"
    if baseline.profile != candidate.profile:
        return f"profile: {baseline.profile!r} -> {candidate.profile!r}"
    difference = first_difference(_given(before), _given(after), "identity")
    return difference.removeprefix("identity.") if difference else _images_unsaid(before)


def _images_unsaid(record: CaseRecord) -> str | None:
    """Say what a record lacks for its images to be paired and grouped, or return None."""
    ids = image_ids(record)
    if not ids or len(set(ids)) != len(ids):
        return "the data set's image ids are not recorded, or not unique"
    if len(photographs(record)) != len(ids):
        return "the data set does not say of which photograph each image is"
    return None


def same_subject(baseline: CaseRecord, candidate: CaseRecord) -> bool:
    """Tell whether both records are of the same weights, or of the same source.

    Then the same seeds draw the same samples, and any difference is one of the code or the machine.
    Weights are the same if the SHA-256 of the checkpoint is. A sampler of one's own is the same if
    the digest of its source is; without one nothing is known, and it counts as another.
    """
    before, after = _subject(baseline), _subject(candidate)
    return before is not None and before == after


def first_difference(baseline: Any, candidate: Any, path: str) -> str | None:
    """Say where two identities differ, as ``task.operator.version: '1' -> '2'``, or None.

    >>> first_difference({"seed": 0, "dtype": "float32"}, {"seed": 1, "dtype": "float32"}, "s")
    's.seed: 0 -> 1'
    """
    if isinstance(baseline, dict) and isinstance(candidate, dict):
        for key in sorted(baseline.keys() | candidate.keys()):
            found = first_difference(baseline.get(key), candidate.get(key), f"{path}.{key}")
            if found:
                return found
        return None
    if baseline == candidate:
        return None
    if isinstance(baseline, list) and isinstance(candidate, list):
        for index, (one, other) in enumerate(zip(baseline, candidate, strict=False)):
            if one != other:
                return first_difference(one, other, f"{path}[{index}]")
    return f"{path}: {_short(baseline)} -> {_short(candidate)}"


def image_ids(record: CaseRecord) -> list[str]:
    """Return the ids of the images that were observed."""
    return list(_dataset(record).get("image_ids") or ())


def photographs(record: CaseRecord) -> list[str]:
    """Return the photograph that each image is of."""
    return list(_dataset(record).get("groups") or ())


def dataset_name(record: CaseRecord) -> str:
    """Return the data set's name."""
    return str(_dataset(record).get("name", ""))


def _dataset(record: CaseRecord) -> dict[str, Any]:
    task = record.identity.get("task") or {}
    return dict(task.get("dataset") or {})


def _given(record: CaseRecord) -> dict[str, Any]:
    """Return what of an identity has to agree: all but the model's weights and effort."""
    identity = record.identity
    sampling = {key: v for key, v in identity.get("sampling", {}).items() if key != "nfe"}
    return {
        "model": {"name": identity.get("model", {}).get("name")},
        "task": identity.get("task"),
        "sampling": sampling,
    }


def _subject(record: CaseRecord) -> tuple[str, ...] | None:
    """Return the digests that say which weights or which source drew the samples."""
    model = record.identity.get("model", {})
    found = ((model.get("checkpoint") or {}).get("sha256"), model.get("source_sha256"))
    digests = tuple(str(digest) for digest in found if digest)
    return digests or None


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)} entries"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}..."
