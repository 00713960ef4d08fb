"""What an execution asks of an engine, read back from the posted JobSpec."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from hivemark.coordinator.ports import ExecutionRow, JobHead
from hivemark.coordinator.service.held import HeldCalls
from hivemark.jobs.cells import Cell, ResolvedModel
from hivemark.jobs.questions import QuestionRegistry
from hivemark.jobs.request import ResolvedQuestion, call_request, effective_request
from hivemark.protocol.jobspec import SignedJobSpec, parse_jobspec
from hivemark.protocol.jobspec_members import JobSpec
from hivemark.protocol.strictjson import JsonObject

_SPECS_KEPT: Final = 512


class Requests:
    """Effective requests of stored executions; parsed specs are kept while their jobs are busy."""

    def __init__(self, questions: QuestionRegistry, held: HeldCalls) -> None:
        self._questions = questions
        self._held = held
        self._specs: OrderedDict[str, SignedJobSpec] = OrderedDict()
        self._lock = Lock()

    def spec(self, job: JobHead) -> JobSpec:
        """The typed spec of a stored job."""
        with self._lock:
            if (signed := self._specs.get(job.id)) is not None:
                self._specs.move_to_end(job.id)
                return signed.spec
        signed = parse_jobspec(job.spec_raw)
        self.remember(job.id, signed)
        return signed.spec

    def remember(self, job_id: str, signed: SignedJobSpec) -> None:
        """Spare the next reader of a job the parsing."""
        with self._lock:
            self._specs[job_id] = signed
            while len(self._specs) > _SPECS_KEPT:
                self._specs.popitem(last=False)

    def is_leasable(self, job: JobHead, execution: str) -> bool:
        """Whether what is asked is known here: the body of a call only the replica has that holds its
        client."""
        return job.held_by is None or ((call := self._held.of(execution)) is not None and call.over is None)

    def effective(self, job: JobHead, execution: ExecutionRow) -> JsonObject:
        """The request that a lease of this execution carries and its receipt commits to.

        Without its member `call` when the client of a call is not, or no longer, held here.
        """
        spec = self.spec(job)
        model = (
            None
            if execution.model_name is None
            else ResolvedModel(name=execution.model_name, weights_sha256=execution.weights_sha256)
        )
        cell = Cell(
            question=execution.question,
            persona=execution.persona,
            model=execution.model,
            region_index=execution.region_index,
            arm=execution.arm,
            repeat=execution.repeat,
            replica=execution.replica,
            resolved_model=model,
            region=execution.region,
        )
        call = None if job.held_by is None else self._held.of(execution.id)
        if call is not None:
            return call_request(spec, cell, call.request)
        return self.effective_cell(spec, cell)

    def effective_cell(self, spec: JobSpec, cell: Cell) -> JsonObject:
        """The same, of a cell that is not stored yet; raises `InvalidError` `unknown_question`."""
        question = self.question(spec, cell.question) if spec.benchmark.asks_questions else None
        return effective_request(spec, cell, question)

    def question(self, spec: JobSpec, index: int) -> ResolvedQuestion:
        """The text of one of the spec's questions: its own, or the published one's."""
        posted = spec.questions[index]
        if posted.text is not None:
            return ResolvedQuestion(id=posted.id, text=posted.text, set_sha256=None)
        known = self._questions.get(posted.id, field=f"questions[{index}]")
        return ResolvedQuestion(id=known.id, text=known.text, set_sha256=known.set_sha256)

    def category(self, spec: JobSpec, index: int) -> str | None:
        """The category of a question, as posted or as published."""
        posted = spec.questions[index]
        if posted.text is not None or posted.category is not None:
            return posted.category
        return self._questions.get(posted.id).category
