"""Judges one row: evaluates and corrects it until it is right or the last regeneration failed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..sampling.limits import Limits
from ..tool_calls.calls import parse_row_tools, parse_tools
from .candidates import Candidate, from_row, from_value
from .config import CleaningConfig
from .judges import EndpointJudge, Judge
from .prompts import JudgePrompts
from .verdicts import InvalidVerdict, Verdict, parse_verdict

NOT_CORRECTED = "not_corrected"  # the last correction allowed was judged wrong as well
NO_CORRECTION = "no_correction"  # the judge says that no answer is right
INVALID_VERDICT = "invalid_verdict"  # the replies were not verdicts until the tries were used up
JUDGE_FAILED = "judge_failed"  # the question failed for good, and the config says to drop the row


@dataclass
class Record:
    """What is known about a row; the last record of a row in the journal holds all of it."""

    row: int
    id: str | None = None
    # For each evaluation its number (`attempt`; 0 is the answer as it came), whether the answer was `correct`, the judge's
    # `reason`, and the answer as `corrected`.
    attempts: list[dict[str, Any]] = field(default_factory=list)
    outcome: str | None = None  # "kept", "corrected" or "dropped"; `None` while further evaluations are due
    reason: str | None = None  # why the row was dropped
    requests: int = 0  # of the whole run when the record was written
    tokens: int = 0


def final_candidate(row: Mapping[str, Any], record: Record) -> Candidate:
    """The answer that a row has after the evaluations of a record: the last one that was or is to be judged."""
    corrections = [attempt["corrected"] for attempt in record.attempts if attempt["corrected"] is not None]
    return from_value(corrections[-1]) if corrections else from_row(row)


@dataclass(frozen=True)
class Interviewer:
    """Puts questions to a judge, and counts every request in `limits`."""

    judge: Judge
    prompts: JudgePrompts
    config: CleaningConfig
    limits: Limits

    async def ask(
        self, messages: Sequence[Mapping[str, str]], judged: Candidate, names: Collection[str] = ()
    ) -> Verdict:
        """The verdict on a candidate, asked for again with another seed after a reply that is not one."""
        for attempt in range(self.config.max_retries + 1):
            if not isinstance(self.judge, EndpointJudge):  # whose client counts the requests that it sends
                await self.limits.take()
            reply = await self.judge.ask(messages, self.config.seed + attempt)
            self.limits.tokens += reply.tokens
            try:
                return parse_verdict(reply.text, judged, names)
            except InvalidVerdict as error:
                problem = error
        raise problem


async def evaluate(
    row: Mapping[str, Any], record: Record, interviewer: Interviewer, save: Callable[[Record], None]
) -> None:
    """Evaluate a row until its record has an outcome; `save` is called after each verdict, before the next question."""
    names = parse_tools(parse_row_tools(row.get("tools"))).keys()
    while record.outcome is None:
        candidate = final_candidate(row, record)
        try:
            verdict = await interviewer.ask(interviewer.prompts.render(row, candidate), candidate, names)
        except InvalidVerdict as error:
            drop(record, INVALID_VERDICT, str(error))
            save(record)
            return
        attempt = len(record.attempts)
        record.attempts.append(
            {
                "attempt": attempt,
                "correct": verdict.correct,
                "reason": verdict.reason,
                "corrected": None if verdict.corrected is None else verdict.corrected.value,
            }
        )
        if verdict.correct:
            record.outcome = "corrected" if attempt else "kept"
        elif verdict.corrected is None:
            record.outcome, record.reason = "dropped", NO_CORRECTION
        elif attempt >= interviewer.config.max_regenerations:
            record.outcome, record.reason = "dropped", NOT_CORRECTED
        save(record)


def drop(record: Record, reason: str, detail: str) -> None:
    """Drop a row that the judge did not judge; the detail becomes the reason of an attempt without a verdict."""
    record.attempts.append(
        {"attempt": len(record.attempts), "correct": None, "reason": detail[:500], "corrected": None}
    )
    record.outcome, record.reason = "dropped", reason
