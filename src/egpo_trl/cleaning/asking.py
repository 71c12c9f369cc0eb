"""Asking the judge until it gives a verdict, within pace, budget and tries."""

from collections.abc import Collection, Mapping, Sequence

from ..sampling.errors import JudgeError, TransientJudgeError
from ..sampling.pace import Budget, Pace, wait_for_another_try
from .candidates import Candidate
from .config import CleaningConfig
from .journal import Record
from .judges import Judge
from .verdicts import InvalidVerdict, Verdict, parse_verdict


class NoVerdict(RuntimeError):
    """Replies that were no verdicts, until the tries were used up; says what was wrong with the last one."""


class Interviewer:
    """
    Puts questions to a judge.

    Args:
        judge ([`Judge`]):
            The judge.
        config ([`CleaningConfig`]):
            Tries, waits and seed.
        budget ([`Budget`]):
            Counts every request.
    """

    def __init__(self, judge: Judge, config: CleaningConfig, budget: Budget) -> None:
        self._judge, self._config, self._budget = judge, config, budget
        self._pace = Pace(config.requests_per_minute)

    def close(self) -> None:
        """Send nothing more: questions that wait raise [`BudgetSpent`], those in flight may still be answered."""
        self._budget.close()
        self._pace.close()

    async def ask(
        self, messages: Sequence[Mapping[str, str]], judged: Candidate, record: Record, names: Collection[str] = ()
    ) -> Verdict:
        """
        Ask for a verdict, again and again where need be.

        Args:
            messages (`Sequence[Mapping[str, str]]`):
                The question.
            judged ([`Candidate`]):
                The answer that it is about.
            record ([`Record`]):
                Gets the costs, of tries without a verdict too.
            names (`Collection[str]`, *optional*):
                Names of the row's functions, see [`parse_verdict`].

        Returns:
            [`Verdict`]:
                The verdict.

        Raises:
            NoVerdict: If the last reply was none.
            JudgeError: If the last request failed.
            BudgetSpent: If the budget leaves no request.
        """
        config = self._config
        requests = invalid = 0
        while True:
            await self._pace.wait()
            self._budget.take_request()
            requests += 1
            record.requests += 1
            try:
                reply = await self._judge.ask(messages, config.judge_seed + invalid)
                record.tokens += reply.tokens
                self._budget.tokens += reply.tokens
                return parse_verdict(reply.text, judged, names)
            except InvalidVerdict as error:
                invalid += 1
                if requests > config.max_retries:
                    raise NoVerdict(str(error)) from None
            except JudgeError as error:
                if not isinstance(error, TransientJudgeError) or requests > config.max_retries:
                    raise
                await wait_for_another_try(error, requests - 1, self._pace, config)
