"""Merging: runs that each measured some of the cases become one run. No torch here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from invbench.errors import ConflictingRunsError, MissingDataError
from invbench.runs.plain_json import differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from invbench.runs.records import CaseRecord
    from invbench.runs.store import RunStore

# Facts of run.json that scores may depend on. CPUs count only where no GPU did the work.
COMMON = ("invbench", "profile")
COMMON_ENVIRONMENT = ("python", "packages", "libjpeg", "cuda", "cudnn", "determinism")
COMMON_GPU = ("name", "capability")


MOST_NAMED = 5  # of the names in which two runs differ: one seed changes hundreds of numbers


def conflicts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the conditions in which two ``run.json`` differ, as dotted names.

    Counts of CPUs, operating systems, clocks and drivers may differ; whatever a score can depend
    on may not.

    Example:
        >>> conflicts({"profile": "tiny"}, {"profile": "paper"})
        ['profile']
    """
    return differences(_conditions(one), _conditions(other))


def disagreements(records: Iterable[CaseRecord]) -> dict[str, str]:
    """Say by case what its record was measured with that the first record of the run was not.

    Seeds and precision are the same for all cases of a run; a task and its metrics are for all of
    the task's, as what fits the noise depends on the noise.
    Samples that were drawn elsewhere have none of the first two, and may be of fewer images.
    """
    found: dict[str, str] = {}
    shared: dict[str, tuple[Any, str]] = {}
    for record in records:
        for name, value in _shared(record).items():
            held, first = shared.setdefault(name, (value, record.case_id))
            if differences(held, value):
                found.setdefault(record.case_id, f"measured with another {name} than {first}")
    return found


def _shared(record: CaseRecord) -> dict[str, Any]:
    """Return what all cases of a run have in common, as far as they have it."""
    if not record.validity:
        return {}
    identity = record.identity
    task, sampling = dict(identity["task"]), identity.get("sampling") or {}
    data = task.pop("dataset", None)
    metrics = identity.get("metrics", {})
    found = {f"metric {name} of {task['name']}": how for name, how in metrics.items()}
    found |= {name: sampling[name] for name in ("seed", "seed_scheme", "dtype") if name in sampling}
    found[f"task {task['name']}"] = task
    if "seed" in sampling:
        found[f"data set of {task['name']}"] = data
        found["n_samples"] = sampling.get("n_samples")
    return found


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
                f"{store.folder}: differs from {stores[0].folder} in {_first(found)}; "
                "runs merge only under the same conditions"
            )
    chosen = _choose(stores)
    if not chosen:
        raise MissingDataError(f"no case in {', '.join(str(store.folder) for store in stores)}")
    for case_id, mixed in disagreements(record for record, _ in chosen.values()).items():
        raise ConflictingRunsError(f"{case_id}: {mixed}; such runs do not become one")
    with into.begin() as claim:
        for record, store in chosen.values():
            into.write_pictures(record.case_id, store.read_pictures(record.case_id))
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
        claim.check()
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
                    f"{case_id}: {where.folder} and {store.folder} differ in {_first(found)}"
                )
            chosen[case_id] = (held, where) if held.validity else (record, store)
    return chosen


def _conflict(one: CaseRecord, other: CaseRecord) -> list[str]:
    """Return the places at which two records of a case differ, times and machines left out."""
    return differences(_timeless(one), _timeless(other))


def _timeless(record: CaseRecord) -> dict[str, Any]:
    timed = {"wall_s", "throughput", "not_measured", "execution"}
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


def _first(names: Sequence[str]) -> str:
    """List some names, and say how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
