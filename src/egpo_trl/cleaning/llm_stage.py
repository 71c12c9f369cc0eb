"""The LLM stage over all rows: several at a time, each verdict in the journal before the next question."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ..sampling.errors import BudgetSpent, EndpointError, EndpointUnavailable
from ..sampling.limits import Limits
from ..utils.journal import Journal
from .asking import Interviewer
from .config import CleaningConfig
from .correction import JUDGE_FAILED, Record, drop, evaluate
from .judges import Judge
from .prompts import JudgePrompts
from .survey import Survey


class CleaningStopped(RuntimeError):
    """A run that ended before all rows were judged; running it again continues it."""


def _due(rows: Iterable[Mapping[str, Any]], unfit: bytes, journal: Journal) -> Iterator[tuple[int, Any]]:
    for index, row in enumerate(rows):
        if not unfit[index] and not is_finished(journal.get(index)):
            yield index, row


def is_finished(record: Mapping[str, Any] | None) -> bool:
    """Whether the record of a row says its outcome."""
    return record is not None and record["outcome"] is not None


def run_llm_stage(
    rows: Iterable[Mapping[str, Any]],
    surveyed: Survey,
    journal: Journal,
    judge: Judge,
    prompts: JudgePrompts,
    config: CleaningConfig,
    limits: Limits,
    on_finished: Callable[[], None] = lambda: None,
) -> None:
    """
    Judge all rows whose outcome is not in the journal; closes the judge at the end.

    Raises [`CleaningStopped`] if the budget is spent or the judge fails for good.
    """
    work = _judge_all(rows, surveyed, journal, judge, prompts, config, limits, on_finished)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
    else:  # called in a notebook, whose loop is busy with this very call
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, work).result()


async def _judge_all(
    rows: Iterable[Mapping[str, Any]],
    surveyed: Survey,
    journal: Journal,
    judge: Judge,
    prompts: JudgePrompts,
    config: CleaningConfig,
    limits: Limits,
    on_finished: Callable[[], None],
) -> None:
    interviewer = Interviewer(judge, config.judge_seed, config.max_retries, limits)
    due = _due(rows, surveyed.unfit, journal)
    problems: list[Exception] = []

    def save(record: Record) -> None:
        record.requests, record.tokens = limits.requests, limits.tokens
        journal.append(asdict(record))

    async def work() -> None:
        for index, row in due:  # the workers share one iterator
            if problems:
                return
            row_id = row.get("id")
            known = journal.get(index) or {"row": index, "id": None if row_id is None else str(row_id)}
            record = Record(**known)
            try:
                await evaluate(row, record, interviewer, prompts, config.max_regenerations, save)
            except EndpointError as error:
                if config.on_judge_failure == "stop" or isinstance(error, EndpointUnavailable):
                    problems.append(_stopped(f"row {index} (id {row_id!r}): {error}", error))
                    break
                drop(record, JUDGE_FAILED, str(error))
                save(record)
            except BudgetSpent as error:
                problems.append(_stopped(str(error), error))
                break
            except Exception as error:
                problems.append(error)
                break
            finally:
                if record.outcome is None:  # what was spent without a verdict counts too
                    with contextlib.suppress(OSError):  # a journal that cannot be written has stopped the run already
                        save(record)
            on_finished()
        if problems:
            limits.close()  # answers in flight still reach the journal

    try:
        await asyncio.gather(*(work() for _ in range(config.concurrency)))
    finally:
        await judge.close()
    if problems:
        done = f"{sum(map(is_finished, journal)):,} of {surveyed.fit:,} rows are judged"
        if isinstance(problems[0], CleaningStopped):
            raise CleaningStopped(f"{problems[0]}\n{done}; run the same command again to continue.") from problems[0]
        raise problems[0]


def _stopped(message: str, error: Exception) -> CleaningStopped:
    if isinstance(error, BudgetSpent):
        return CleaningStopped(f"The budget is used up: {message}. Raise it to continue.")
    if isinstance(error, EndpointUnavailable):
        return CleaningStopped(
            f"The judge takes no questions: {message}. Check judge_model, base_url and api_key_env."
        )
    return CleaningStopped(
        f"The judge failed at {message}. Check the server; on_judge_failure: drop drops such rows instead."
    )
