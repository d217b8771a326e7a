"""A session of a run: begin its folder, measure cases, keep what an earlier session measured."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import torch

from invbench.errors import (
    InvalidOptionError,
    InvalidRecordError,
    MissingDataError,
    ResumeWarning,
)
from invbench.evaluation import Measure, evaluate
from invbench.files import claim_folder
from invbench.gate import apply_limits, read_limits
from invbench.machine import describe_environment, measure, release_memory
from invbench.models import CASES
from invbench.problems import get_profile
from invbench.runs import CaseRecord, RunRecord, conflicts
from invbench.suite.loading import EMBEDDED
from invbench.suite.places import limits_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invbench.evaluation import Evaluation, Experiment, Subject
    from invbench.files import Claim
    from invbench.models import Case
    from invbench.runs import RunStore, Status
    from invbench.suite.resolve import Suite

SHARED_MACHINE = "pytest-xdist: processes that share a machine slow each other"


@dataclass(frozen=True)
class Session:
    """One session of a run, from its beginning to its end or the moment it is killed.

    Attributes:
        suite: what is to be measured, and how.
        store: the run's folder.
        kept: ids of the cases whose record an earlier session had stored; grows as cases are run.
        claims: on the folder: none before its beginning, one after it.
    """

    suite: Suite
    store: RunStore
    kept: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def begin(self, argv: Sequence[str], selected: Sequence[str]) -> None:
        """Make the folder ready and write ``run.json``, before anything is measured.

        Args:
            argv: the command.
            selected: ids of the cases that will be measured.

        Raises:
            ExistingRunError: if the folder holds a run and neither resume nor fresh is chosen.
            InvalidOptionError: if the options contradict each other.
            StorageError: if the folder cannot be written to.
        """
        options = self.suite.options
        if options.resume and options.fresh:
            raise InvalidOptionError("--resume keeps what --fresh deletes; choose one")
        if options.resume and options.results is None:
            raise InvalidOptionError("--resume needs --results, the folder of the run to continue")
        facts = describe(self.suite, self.store.run_id, argv, selected)
        if options.resume:
            self._check_others(selected)
        remedy = ", delete the run by --fresh, or continue it by --resume"
        claim = self.store.begin(resume=options.resume, fresh=options.fresh, remedy=remedy)
        self.claims.append(claim)
        earlier = _earlier_sessions(self.store, asdict(facts))
        self.store.write_run(asdict(replace(facts, earlier=earlier)))

    def check_folder(self) -> None:
        """Refuse to go on if the run's folder is gone, or another one is in its place.

        Raises:
            StorageError: saying so.
        """
        if not self.claims:  # a process beside the one that began the run
            self.claims.append(claim_folder(self.store.folder, alone=False))
        self.claims[0].check()

    def run(self, case: Case, subject: Subject, *, measure_rounds: Measure = measure) -> CaseRecord:
        """Measure a case, hold it against its limits and store the record.

        A resumed run takes a record that an earlier session stored, if it is whole and measured
        the same; its limits are checked anew and its speed stays that of its own device.

        Raises:
            InvalidSamplesError: if the sampler breaks the convention; the record says so.
            StorageError: if the record cannot be written.
        """
        self.check_folder()
        experiment = self.suite.experiment(case, subject)
        stored = self._stored(experiment)
        if stored is not None:
            return self._keep(stored, experiment)
        evaluation = self._measure(experiment, measure_rounds)
        record = self._judge(evaluation.record, experiment)
        if self.suite.worker is not None:
            record = replace(record, throughput=None, not_measured={"throughput": SHARED_MACHINE})
        self.check_folder()
        self.store.write_pictures(case.id, evaluation.pictures)
        self.store.write_case(record, evaluation.scores)
        return record

    def leave_out(self, case: Case, status: Status, reason: str) -> None:
        """Record that a case was not measured, and why.

        Where weights are missing, what an earlier session measured with them stays.

        Args:
            case: which one.
            status: "skipped" for want of weights, "declined" by a sampler that is not made for the
                problem, or "error".
            reason: in words.
        """
        if status == "skipped" and self.suite.options.resume and self._was_measured(case):
            return
        identity = {"model": {"name": case.model}, "task": {"name": case.task}}
        self.store.write_case(
            CaseRecord(case_id=case.id, identity=identity, status=status, reason=reason)
        )

    def _check_others(self, selected: Sequence[str]) -> None:
        """Refuse to resume beside records that cannot be read and are not to be measured."""
        for case_id in sorted(set(self.store.case_ids()) - set(selected)):
            try:
                self.store.read_case(case_id)
            except InvalidRecordError as error:
                raise InvalidRecordError(f"{error}; delete it, or select the case, too") from error

    def _measure(self, experiment: Experiment, measure_rounds: Measure) -> Evaluation:
        """Evaluate a case; whatever error ends it is stored as its record, and raised."""
        try:
            return evaluate(experiment, measure_rounds=measure_rounds)
        except Exception as error:
            record = CaseRecord(
                case_id=experiment.case.id,
                identity=experiment.identity(),
                status="error",
                reason=f"{type(error).__name__}: {error}",
            )
            self.store.write_case(record)
            if isinstance(error, torch.OutOfMemoryError):
                release_memory(error)  # for the cases that follow
            raise

    def _keep(self, stored: CaseRecord, experiment: Experiment) -> CaseRecord:
        """Take an earlier session's record, held against the limits of today."""
        spread = stored.calibration and replace(stored.calibration, expected=None)
        unjudged = replace(stored, status="measured", reason=None, checks=(), calibration=spread)
        record = self._judge(unjudged, experiment)
        if record != stored:
            self.store.write_case(record)
        self.kept.append(record.case_id)
        return record

    def _stored(self, experiment: Experiment) -> CaseRecord | None:
        """Return an earlier session's record, if it can be kept; warn of one that cannot.

        A sampler that nothing identifies may have changed, so its record cannot be kept.
        """
        if not self.suite.options.resume:
            return None
        try:
            record = self.store.read_whole_case(experiment.case.id, experiment.identity())
        except InvalidRecordError as error:
            warnings.warn(f"{error}; measured anew", ResumeWarning, stacklevel=2)
            return None
        if record is None or not record.validity:
            return None
        if not experiment.subject.identified:
            unknown = "neither source code nor a fingerprint tells whether the sampler is the same"
            warnings.warn(
                f"{record.case_id}: {unknown}; measured anew", ResumeWarning, stacklevel=2
            )
            return None
        return record

    def _was_measured(self, case: Case) -> bool:
        """Tell whether there is a readable record of a case that holds measurements."""
        try:
            record = self.store.read_case(case.id)
        except InvalidRecordError:
            return False
        return record is not None and bool(record.validity)

    def _judge(self, record: CaseRecord, experiment: Experiment) -> CaseRecord:
        """Hold a record against its limits, and its sampler against the contract if that counts."""
        record = self._check_limits(record, experiment)
        breaches = "; ".join(f"{breach.name}: {breach.seen}" for breach in record.contract or ())
        strict = self.suite.options.strict or experiment.case in CASES
        if not (breaches and strict):
            return record
        reason = "; ".join(filter(None, (record.reason, breaches)))
        return replace(record, status="failed", reason=reason)

    def _check_limits(self, record: CaseRecord, experiment: Experiment) -> CaseRecord:
        """Hold a record against its limits, which are of the profile's own images and numbers."""
        suite = self.suite
        own = get_profile(suite.options.profile)
        same = (suite.profile.n_images, suite.profile.n_samples) == (own.n_images, own.n_samples)
        if not (same and experiment.data.name == EMBEDDED and suite.options.seed == 0):
            return record
        limits = limits_file()
        return apply_limits(record, read_limits(limits), profile=own.name, source=limits.name)


def describe(suite: Suite, run_id: str, argv: Sequence[str], selected: Sequence[str]) -> RunRecord:
    """Return what ``run.json`` says: what was asked for, of which version, and on which machine.

    Args:
        suite: what is to be measured.
        run_id: name of the run's folder.
        argv: the command.
        selected: ids of the cases that will be measured.
    """
    from invbench import __version__

    return RunRecord(
        run_id=run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        invbench=__version__,
        argv=tuple(argv),
        profile=suite.profile.name,
        environment=describe_environment(suite.device),
        expected_cases=tuple(case.id for case in suite.cases),
        selected_cases=tuple(selected),
        shard=str(suite.shard) if suite.options.shard else None,
    )


def default_results() -> Path:
    """Return a fresh folder's path for a run's records, below this one.

    It is named by the time; a few letters keep runs apart that begin within a second.
    """
    return Path.cwd() / "results" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"


def _earlier_sessions(store: RunStore, facts: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the sessions that this one resumes; warn if the last ran under other conditions."""
    try:
        before = store.read_run()
    except MissingDataError:
        return ()
    except InvalidRecordError as error:
        warnings.warn(f"{error}; written anew", ResumeWarning, stacklevel=2)
        return ()
    if found := conflicts(before, facts):
        changed = f"resumed under other conditions: {', '.join(found)}"
        warnings.warn(changed, ResumeWarning, stacklevel=2)
    session = {name: before.get(name) for name in ("created", "invbench", "argv")}
    return (*before.get("earlier", ()), session | {"environment": before.get("environment")})
