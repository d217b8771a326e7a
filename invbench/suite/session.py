"""A session of a run: begin its folder, measure cases, keep what an earlier session measured."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from invbench.errors import (
    ExecutionWarning,
    InvalidOptionError,
    InvalidRecordError,
    ResumeWarning,
)
from invbench.evaluation import Measure, evaluate
from invbench.files import claim_folder
from invbench.gate import apply_limits, read_limits
from invbench.machine import measure, release_memory
from invbench.models import CASES
from invbench.problems import get_profile
from invbench.runs import CaseRecord, conflicts
from invbench.suite.description import describe, earlier_sessions
from invbench.suite.loading import EMBEDDED
from invbench.suite.places import limits_file
from invbench.suite.progress import Progress, known_costs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from invbench.evaluation import Evaluation, Experiment, Subject
    from invbench.files import Claim
    from invbench.models import Case
    from invbench.runs import RunStore, Status
    from invbench.suite.remote import Answer, Remote
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
        remote: the workers that measure the cases, if this process does not.
        progress: told of every case and image.
        remarks: what the user should know of the data.
    """

    suite: Suite
    store: RunStore
    kept: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    remote: Remote | None = None
    progress: Progress = field(default_factory=Progress)
    remarks: list[str] = field(default_factory=list)

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
        earlier = earlier_sessions(self.store, asdict(facts))
        self.store.write_run(asdict(replace(facts, earlier=earlier)))
        self.progress.begin(selected, known_costs())
        if self.remote is not None:
            cases = [case for case in self.suite.cases if case.id in set(selected)]
            self.remote.send(cases, self._stored_identities(selected))

    def check_folder(self) -> None:
        """Refuse to go on if the run's folder is gone, or another one is in its place.

        Raises:
            StorageError: saying so.
        """
        if not self.claims:  # a process beside the one that began the run
            self.claims.append(claim_folder(self.store.folder, alone=False))
        self.claims[0].check()

    def subject(self, case: Case) -> Subject:
        """Build the case's sampler; where a worker measures the case, wait for it.

        Raises:
            LostWorkerError, RemoteError: if no worker measured it.
            InvbenchError: see `resolve.Suite.subject`.
        """
        if self.remote is None:
            return self.suite.subject(case)
        first = not self.remote.answers
        with self.progress.case(case.id):
            answer = self.remote.answer(case)
        self._note_machine(answer, first=first)
        return self.remote.subject(case)

    def run(self, case: Case, subject: Subject, *, measure_rounds: Measure = measure) -> CaseRecord:
        """Measure a case, hold it against its limits and store the record.

        A resumed run takes a record that an earlier session stored, if it is whole and measured
        the same; its limits are checked anew and its speed stays that of its own device.

        Raises:
            InvalidSamplesError: if the sampler breaks the convention; the record says so.
            StorageError: if the record cannot be written.
        """
        self.check_folder()
        if self.remote is not None:
            return self._take(self.remote, case)
        with self.progress.case(case.id) as on_image:
            experiment = self.suite.experiment(case, subject)
            stored = self._stored(experiment)
            if stored is not None:
                return self._keep(stored, case)
            return self._conclude(self._measure(experiment, measure_rounds, on_image), case)

    def leave_out(self, case: Case, status: Status, reason: str) -> None:
        """Record that a case was not measured, and why.

        Where weights are missing, what an earlier session measured with them stays.

        Args:
            case: which one.
            status: "skipped" for want of weights, "declined" by a sampler that is not made for the
                problem, or "error".
            reason: in words.
        """
        self.progress.left_out(case.id)
        if status == "skipped" and self.suite.options.resume and self._was_measured(case):
            return
        identity = {"model": {"name": case.model}, "task": {"name": case.task}}
        self.store.write_case(
            CaseRecord(
                case_id=case.id,
                identity=identity,
                status=status,
                reason=reason,
                execution=None if self.remote is None else self.remote.execution(case),
            )
        )

    def _check_others(self, selected: Sequence[str]) -> None:
        """Refuse to resume beside records that cannot be read and are not to be measured."""
        for case_id in sorted(set(self.store.case_ids()) - set(selected)):
            try:
                self.store.read_case(case_id)
            except InvalidRecordError as error:
                raise InvalidRecordError(f"{error}; delete it, or select the case, too") from error

    def _measure(
        self, experiment: Experiment, measure_rounds: Measure, on_image: Callable[[int, int], None]
    ) -> Evaluation:
        """Evaluate a case; whatever error ends it is stored as its record, and raised."""
        try:
            return evaluate(experiment, measure_rounds=measure_rounds, on_image=on_image)
        except Exception as error:
            self.store.write_case(experiment.error_record(error))
            if isinstance(error, torch.OutOfMemoryError):
                release_memory(error)  # for the cases that follow
            raise

    def _conclude(self, evaluation: Evaluation, case: Case) -> CaseRecord:
        """Hold what was measured against its limits, and keep it."""
        record = self._judge(evaluation.record, case)
        if self.suite.worker is not None:
            unmeasured = {**record.not_measured, "throughput": SHARED_MACHINE}
            record = replace(record, throughput=None, not_measured=unmeasured)
        self.check_folder()
        self.store.write_pictures(case.id, evaluation.pictures)
        self.store.write_case(record, evaluation.scores)
        return record

    def _take(self, remote: Remote, case: Case) -> CaseRecord:
        """Keep what a worker measured, as what is measured here is kept."""
        answer = remote.answer(case)
        if answer.evaluation is None:  # an earlier session's record is of the very same
            stored = self.store.read_case(case.id)
            assert stored is not None
            return self._keep(stored, case)
        record = replace(answer.evaluation.record, execution=remote.execution(case))
        if answer.failure is not None:
            self.store.write_case(record)
            raise answer.failure.error()
        return self._conclude(replace(answer.evaluation, record=record), case)

    def _note_machine(self, answer: Answer, *, first: bool) -> None:
        """Have ``run.json`` describe the machine of the first worker, and others be like it."""
        facts = self.store.read_run()
        theirs = facts | {"environment": answer.environment}
        if first:
            self.store.write_run(theirs)
        elif found := conflicts(facts, theirs):
            other = f"{answer.node} differs from the run's first worker in {', '.join(found)}"
            warnings.warn(other, ExecutionWarning, stacklevel=2)

    def _stored_identities(self, selected: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return what the whole records of an earlier session measured; warn of damaged ones."""
        identities = {}
        for case_id in selected if self.suite.options.resume else ():
            try:
                record = self.store.read_whole_case(case_id)
            except InvalidRecordError as error:
                warnings.warn(f"{error}; measured anew", ResumeWarning, stacklevel=2)
                continue
            if record is not None and record.validity:
                identities[case_id] = record.identity
        return identities

    def _keep(self, stored: CaseRecord, case: Case) -> CaseRecord:
        """Take an earlier session's record, held against the limits of today."""
        spread = stored.calibration and replace(stored.calibration, expected=None)
        unjudged = replace(stored, status="measured", reason=None, checks=(), calibration=spread)
        record = self._judge(unjudged, case)
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

    def _judge(self, record: CaseRecord, case: Case) -> CaseRecord:
        """Hold a record against its limits, and its sampler against the contract if that counts."""
        record = self._check_limits(record)
        breaches = "; ".join(f"{breach.name}: {breach.seen}" for breach in record.contract or ())
        strict = self.suite.options.strict or case in CASES
        if not (breaches and strict):
            return record
        reason = "; ".join(filter(None, (record.reason, breaches)))
        return replace(record, status="failed", reason=reason)

    def _check_limits(self, record: CaseRecord) -> CaseRecord:
        """Hold a record against its limits, which are of the profile's own images and numbers."""
        suite = self.suite
        own = get_profile(suite.options.profile)
        same = (suite.profile.n_images, suite.profile.n_samples) == (own.n_images, own.n_samples)
        data = record.identity["task"]["dataset"]["name"]
        if not (same and data == EMBEDDED and suite.options.seed == 0):
            return record
        limits = limits_file()
        return apply_limits(record, read_limits(limits), profile=own.name, source=limits.name)
