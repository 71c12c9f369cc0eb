"""The LLM stage for one row: evaluate, correct, evaluate again, and drop past the last regeneration."""

from collections.abc import Callable, Mapping
from typing import Any

from ..tool_calls.calls import parse_row_tools, parse_tools
from .asking import Interviewer, NoVerdict
from .candidates import Candidate, from_row, from_value
from .journal import Record
from .prompts import JudgePrompts

NOT_CORRECTED = "not_corrected"  # the last correction allowed was judged wrong as well
NO_CORRECTION = "no_correction"  # the judge says that there is no right answer
INVALID_VERDICT = "invalid_verdict"  # the replies were no verdicts until the tries were used up
JUDGE_FAILED = "judge_failed"  # the question failed for good, and the config says to drop the row then


def final_candidate(row: Mapping[str, Any], record: Record) -> Candidate:
    """
    The answer that a row has after the evaluations of a record: the last one that was or is to be judged.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row.
        record ([`Record`]):
            Its record.

    Returns:
        [`Candidate`]:
            The answer.
    """
    corrections = [attempt["corrected"] for attempt in record.attempts if attempt["corrected"] is not None]
    return from_value(corrections[-1]) if corrections else from_row(row)


async def evaluate(
    row: Mapping[str, Any],
    record: Record,
    interviewer: Interviewer,
    prompts: JudgePrompts,
    max_regenerations: int,
    save: Callable[[Record], None],
) -> None:
    """
    Evaluate a row until it has an outcome, going on from its record.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row.
        record ([`Record`]):
            What is known about it; changed in place.
        interviewer ([`Interviewer`]):
            Asks the judge.
        prompts ([`JudgePrompts`]):
            The question.
        max_regenerations (`int`):
            Corrections that are evaluated.
        save (`Callable`):
            Called with the record after each verdict, before the next question is asked; its costs start again at 0.

    Raises:
        JudgeError: If a question failed for good.
        BudgetSpent: If the budget leaves no request.
    """
    names = parse_tools(parse_row_tools(row.get("tools"))).keys()
    while record.outcome is None:
        candidate = final_candidate(row, record)
        try:
            verdict = await interviewer.ask(prompts.render(row, candidate), candidate, names)
        except NoVerdict as error:
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
        elif attempt >= max_regenerations:
            record.outcome, record.reason = "dropped", NOT_CORRECTED
        save(record)


def drop(record: Record, reason: str, detail: str) -> None:
    """Give a row up that the judge did not judge; the detail stands as reason of an attempt without a verdict."""
    record.attempts.append(
        {"attempt": len(record.attempts), "correct": None, "reason": detail[:500], "corrected": None}
    )
    record.outcome, record.reason = "dropped", reason
