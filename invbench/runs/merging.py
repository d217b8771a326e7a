"""Merging: runs that each measured some of the cases become one run. No torch here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from invbench.errors import ConflictingRunsError, MissingDataError
from invbench.runs.plain_json import differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invbench.runs.records import CaseRecord
    from invbench.runs.store import RunStore

# Facts of run.json that scores may depend on. CPUs count only where no GPU did the work.
COMMON = ("invbench", "profile")
COMMON_ENVIRONMENT = ("python", "packages", "libjpeg", "cuda", "cudnn", "determinism")
COMMON_GPU = ("name", "capability")


def conflicts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the conditions in which two ``run.json`` differ, as dotted names.

    Counts of CPUs, operating systems, clocks and drivers may differ; whatever a score can depend
    on may not.

    Example:
        >>> conflicts({"profile": "tiny"}, {"profile": "paper"})
        ['profile']
    """
    return differences(_conditions(one), _conditions(other))


def merge(stores: Sequence[RunStore], into: RunStore) -> int:
    """Copy the cases of several runs into a new run.

    A case that several runs measured is taken once; their results must be equal. A case that one
    run measured and another skipped is taken from the run that measured it.

    Returns:
        The number of cases.

    Raises:
        ConflictingRunsError: if conditions differ, or one case has two results.
        ExistingRunError: if the new folder already holds a run.
        MissingDataError: if a folder is not a run, or holds no case.
        InvalidRecordError: if a record is damaged.
        StorageError: if the new run cannot be written.
    """
    facts = [store.read_run() for store in stores]
    for store, other in zip(stores[1:], facts[1:], strict=True):
        if found := conflicts(facts[0], other):
            raise ConflictingRunsError(
                f"{store.folder}: differs from {stores[0].folder} in {', '.join(found)}; "
                "runs merge only under the same conditions"
            )
    chosen = _choose(stores)
    if not chosen:
        raise MissingDataError(f"no case in {', '.join(str(store.folder) for store in stores)}")
    into.begin()
    for record, store in chosen.values():
        into.write_case(record, store.read_scores(record.case_id) if record.validity else None)
    into.write_run(
        facts[0]
        | {
            "run_id": into.run_id,
            "selected_cases": _union(facts, "selected_cases"),
            "expected_cases": _union(facts, "expected_cases"),
            "shard": None,
            "merged_from": [run["run_id"] for run in facts],
        }
    )
    return len(chosen)


def _choose(stores: Sequence[RunStore]) -> dict[str, tuple[CaseRecord, RunStore]]:
    chosen: dict[str, tuple[CaseRecord, RunStore]] = {}
    for store in stores:
        for case_id in store.case_ids():
            record = store.read_whole_case(case_id)
            if record is None:
                continue
            held, where = chosen.get(case_id, (record, store))
            if held.validity and record.validity and (found := _conflict(held, record)):
                raise ConflictingRunsError(
                    f"{case_id}: {where.folder} and {store.folder} differ in {', '.join(found)}"
                )
            chosen[case_id] = (held, where) if held.validity else (record, store)
    return chosen


def _conflict(one: CaseRecord, other: CaseRecord) -> list[str]:
    """Return the places at which two records of a case differ, times left out."""
    return differences(_timeless(one), _timeless(other))


def _timeless(record: CaseRecord) -> dict[str, Any]:
    timed = {"wall_s", "throughput", "not_measured"}
    return {key: value for key, value in asdict(record).items() if key not in timed}


def _conditions(run: Mapping[str, Any]) -> dict[str, Any]:
    environment = run.get("environment", {})
    gpu = environment.get("gpu")
    device = (
        {name: gpu.get(name) for name in COMMON_GPU}
        if gpu
        else {"cpu": environment.get("cpu", {}).get("name")}
    )
    return {
        **{name: run.get(name) for name in COMMON},
        "environment": {name: environment.get(name) for name in COMMON_ENVIRONMENT},
        "device": device,
        "commit": (environment.get("git") or {}).get("commit"),
    }


def _union(facts: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    return list(dict.fromkeys(case for run in facts for case in run.get(name, ())))
