"""A judge in this process: a transformers model that answers waiting questions in batches."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ..sampling.errors import RejectedQuestion
from .config import CleaningConfig
from .judges import Reply

_Question = tuple[list[int], int, asyncio.Future[Reply]]


class TransformersJudge:
    """
    A transformers model as judge. The questions that wait are sampled together, in a thread.

    Args:
        config ([`CleaningConfig`]):
            Model, sampling and batch size.

    Raises:
        ValueError: If the model has no chat template.
    """

    def __init__(self, config: CleaningConfig) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._config = config
        self._tokenizer = AutoTokenizer.from_pretrained(config.judge_model)
        if not self._tokenizer.chat_template:
            raise ValueError(f"judge_model: {config.judge_model!r} has no chat template; name an instruct model.")
        self._model = AutoModelForCausalLM.from_pretrained(config.judge_model, dtype="auto")
        if torch.cuda.is_available():
            self._model.to("cuda")
        self._waiting: list[_Question] = []
        self._worker: asyncio.Task[None] | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the verdicts depend on."""
        fields = ("judge_backend", "judge_model", "temperature", "max_tokens", "judge_seed", "chat_template_kwargs")
        return {name: getattr(self._config, name) for name in fields}

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        """Answer with the next batch; see [`Judge`]."""
        from ..sampling.generate import render_prompt

        kwargs = self._config.chat_template_kwargs
        assert not isinstance(kwargs, str)
        ids = render_prompt(self._tokenizer, {"prompt": list(messages)}, chat_template_kwargs=kwargs)
        limit = getattr(self._model.config, "max_position_embeddings", None)
        if limit is not None and len(ids) + self._config.max_tokens > limit:
            raise RejectedQuestion(
                f"{len(ids)} tokens and a reply of max_tokens ({self._config.max_tokens}) exceed the model's {limit}"
            )
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((ids, seed, reply))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._answer())
        return await reply

    async def _answer(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # lets the rows that were just answered ask their next question
            seed = self._waiting[0][1]
            batch = [question for question in self._waiting if question[1] == seed][: self._config.judge_batch_size]
            self._waiting = [question for question in self._waiting if question not in batch]
            try:
                replies = await asyncio.to_thread(self._sample, [ids for ids, _, _ in batch], seed)
            except Exception as error:
                for _, _, reply in batch:
                    if not reply.done():
                        reply.set_exception(error)
                continue
            for (_, _, reply), answer in zip(batch, replies, strict=True):
                if not reply.done():
                    reply.set_result(answer)

    def _sample(self, prompts: list[list[int]], seed: int) -> list[Reply]:
        from ..sampling.generate import sample_completions

        completions = sample_completions(
            self._model,
            self._tokenizer,
            prompts,
            max_new_tokens=self._config.max_tokens,
            temperature=self._config.temperature,
            batch_size=self._config.judge_batch_size,
            seed=seed,
        )
        return [
            Reply(self._tokenizer.decode(ids, skip_special_tokens=True), len(prompt) + len(ids))
            for prompt, ids in zip(prompts, completions, strict=True)
        ]

    async def close(self) -> None:
        """Wait for the batch in hand."""
        if self._worker is not None:
            await self._worker
