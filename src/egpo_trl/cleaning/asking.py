"""Asks the judge until it gives a verdict, within limits and tries."""

from collections.abc import Collection, Mapping, Sequence

from ..sampling.limits import Limits
from .candidates import Candidate
from .judges import EndpointJudge, Judge
from .verdicts import InvalidVerdict, Verdict, parse_verdict


class NoVerdict(RuntimeError):
    """Replies that were not verdicts until the tries were used up; says what was wrong with the last one."""


class Interviewer:
    """Puts questions to a judge, and counts every request in `limits`."""

    def __init__(self, judge: Judge, seed: int, max_retries: int, limits: Limits) -> None:
        self._judge, self._seed, self._max_retries, self._limits = judge, seed, max_retries, limits
        self._counts_itself = isinstance(judge, EndpointJudge)  # its client sends more than one request for a question

    async def ask(
        self, messages: Sequence[Mapping[str, str]], judged: Candidate, names: Collection[str] = ()
    ) -> Verdict:
        """
        The verdict on a candidate, asked for again, with another seed, after a reply that is not one.

        `names` are those of the row's functions, see [`parse_verdict`]. Raises [`NoVerdict`], and what the judge raises.
        """
        for attempt in range(self._max_retries + 1):
            if not self._counts_itself:
                await self._limits.take()
            reply = await self._judge.ask(messages, self._seed + attempt)
            self._limits.tokens += reply.tokens
            try:
                return parse_verdict(reply.text, judged, names)
            except InvalidVerdict as error:
                problem = str(error)
        raise NoVerdict(problem)
