"""What a judge is to the pipeline: something that answers a question, or says how it failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .config import CleaningConfig


@dataclass(frozen=True)
class Reply:
    """
    A reply of the judge.

    Args:
        text (`str`):
            The reply, which should hold a verdict.
        tokens (`int`):
            Tokens of the question and the reply, for the budget.
    """

    text: str
    tokens: int = 0


class Judge(Protocol):
    """A judge. Any object with these members will do."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its verdicts depend on, as JSON values: a journal is continued only by the judge that began it."""

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        """
        Answer a question.

        Args:
            messages (`Sequence[Mapping[str, str]]`):
                System and user message.
            seed (`int`):
                Differs when a question is asked again because its reply was no verdict.

        Returns:
            [`Reply`]:
                The reply.

        Raises:
            JudgeError: If there is none.
        """

    async def close(self) -> None:
        """Let connections go."""


def make_judge(config: CleaningConfig) -> Judge:
    """
    The judge that a configuration names.

    Args:
        config ([`CleaningConfig`]):
            Its backend must not be `"none"`.

    Returns:
        [`Judge`]:
            The judge.

    Raises:
        ValueError: If a field is missing.
    """
    if config.judge_model is None:
        raise ValueError("judge_model must name the model that judges, or set judge_backend to none.")
    if config.judge_backend == "openai":
        from ..sampling.endpoint import EndpointJudge

        return EndpointJudge(config)
    from .local_model import TransformersJudge

    return TransformersJudge(config)
