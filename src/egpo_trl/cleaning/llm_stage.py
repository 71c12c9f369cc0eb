"""The LLM stage over all rows: several at a time, each verdict in the journal before the next question."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ..sampling.errors import BudgetSpent, EndpointError, EndpointUnavailable
from ..utils.journal import Journal
from .correction import JUDGE_FAILED, Interviewer, Record, drop, evaluate
from .survey import Survey


class CleaningStopped(RuntimeError):
    """A run that ended before all rows were judged; running it again continues it."""


def is_finished(record: Mapping[str, Any] | None) -> bool:
    return record is not None and record["outcome"] is not None


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine, also from a notebook, whose loop is busy with this very call."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
    else:
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, work).result()


async def judge_all(
    rows: Iterable[Mapping[str, Any]],
    surveyed: Survey,
    journal: Journal,
    interviewer: Interviewer,
    on_finished: Callable[[], None],
) -> None:
    """Judge all rows whose outcome is not in the journal; raises [`CleaningStopped`] if that cannot be finished."""
    config, limits = interviewer.config, interviewer.limits
    due = (
        (index, row)
        for index, row in enumerate(rows)
        if surveyed.unfit[index] is None and not is_finished(journal.get(index))
    )
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
                await evaluate(row, record, interviewer, save)
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
        await interviewer.judge.close()
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
            f"The judge takes no questions: {message}. Check model_name_or_path, base_url and api_key_env."
        )
    return CleaningStopped(
        f"The judge failed at {message}. Check the server; on_judge_failure: drop drops such rows instead."
    )
