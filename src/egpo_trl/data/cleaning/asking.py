"""Asking the judge until it gives a verdict, within pace, budget and tries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .candidates import Candidate
from .config import CleaningConfig
from .judges import Judge, JudgeError, TransientJudgeError
from .limits import Budget, Pace, wait_for_another_try
from .verdicts import InvalidVerdict, Verdict, parse_verdict


@dataclass(frozen=True)
class Asked:
    """A verdict with what it cost."""

    verdict: Verdict
    requests: int
    tokens: int


class NoVerdict(RuntimeError):
    """
    Replies that were no verdicts, until the tries were used up.

    Args:
        message (`str`):
            What was wrong with the last one.
        requests (`int`):
            Requests spent.
        tokens (`int`):
            Tokens spent.
    """

    def __init__(self, message: str, requests: int, tokens: int) -> None:
        super().__init__(message)
        self.requests, self.tokens = requests, tokens


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

    async def ask(self, messages: Sequence[Mapping[str, str]], judged: Candidate) -> Asked:
        """
        Ask for a verdict, again and again where need be.

        Args:
            messages (`Sequence[Mapping[str, str]]`):
                The question.
            judged ([`Candidate`]):
                The answer that it is about.

        Returns:
            [`Asked`]:
                The verdict and its costs.

        Raises:
            NoVerdict: If the last reply was none.
            JudgeError: If the last request failed.
            BudgetSpent: If the budget leaves no request.
        """
        config = self._config
        requests = tokens = invalid = 0
        while True:
            await self._pace.wait()
            self._budget.take_request()
            requests += 1
            try:
                reply = await self._judge.ask(messages, config.judge_seed + invalid)
                tokens += reply.tokens
                self._budget.tokens += reply.tokens
                return Asked(parse_verdict(reply.text, judged), requests, tokens)
            except InvalidVerdict as error:
                invalid += 1
                if requests > config.max_retries:
                    raise NoVerdict(str(error), requests, tokens) from None
            except JudgeError as error:
                error.requests, error.tokens = requests, tokens
                if not isinstance(error, TransientJudgeError) or requests > config.max_retries:
                    raise
                await wait_for_another_try(error, requests - 1, self._pace, config)
