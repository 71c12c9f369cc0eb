"""Renders prompts in this process, and samples a model with transformers."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..data.rendering import RenderingError
from ..demo.names import model_folder
from .completion import Completion, digest
from .config import SamplingConfig
from .generate import stop_token_ids, stream_completions
from .models import checksum_of, context_length, is_adapter, load_model, load_tokenizer
from .rendering import PromptRenderer
from .sampler import Request, SamplingStopped, prompt_format

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class RenderedRequests:
    """Token ids of the requests that leave room for a token in `context`, and refusals of the others."""

    def __init__(self, requests: Sequence[Request], renderer: PromptRenderer, context: int | None) -> None:
        self.positions: list[int] = []
        self.prompts: list[array[int]] = []
        self.refused: list[tuple[int, Completion]] = []
        for position, request in enumerate(requests):
            try:
                ids = array("i", renderer(request.row))
            except RenderingError as error:
                self.refused.append((position, Completion(str(error), finish_reason="error")))
                continue
            if context is not None and len(ids) >= context:
                refusal = Completion("", num_prompt_tokens=len(ids), finish_reason="prompt_too_long")
                self.refused.append((position, refusal))
                continue
            self.positions.append(position)
            self.prompts.append(ids)


def read_completion(
    tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], ends: Sequence[int], num_prompt_tokens: int
) -> Completion:
    """A completion from its token ids; its text has special tokens, but not the one that ended it."""
    stopped = bool(ids) and ids[-1] in ends
    text = tokenizer.decode(
        list(ids[:-1] if stopped else ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return Completion(str(text), tuple(ids), num_prompt_tokens, "stop" if stopped else "length")


class TransformersSampler:
    """A transformers model in this process, sampled in batches of prompts of similar length."""

    def __init__(
        self,
        config: SamplingConfig,
        model: "PreTrainedModel | None" = None,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
    ) -> None:
        self._config = config
        self._name = model_folder(config.model)
        self._tokenizer = load_tokenizer(config, self._name) if tokenizer is None else tokenizer
        self._model = load_model(config, self._name) if model is None else model
        self._ends = stop_token_ids(self._tokenizer, self._model.generation_config)
        self._context = context_length(self._model.config)
        self.prompts = prompt_format(config, self._tokenizer, self._ends)
        self._renderer = PromptRenderer(self.prompts)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "backend": "transformers",
            **model_identity(self._config, self._tokenizer),
            "commit": getattr(self._model.config, "_commit_hash", None),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            **self._config.decoding,
        }

    def sample(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        import torch

        config = self._config
        rendered = RenderedRequests(requests, self._renderer, self._context)
        yield from rendered.refused
        stream = stream_completions(
            self._model,
            self._tokenizer,
            rendered.prompts,
            [requests[position].seed for position in rendered.positions],
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            batch_size=config.batch_size,
            max_batch_tokens=config.max_batch_tokens,
            context_length=self._context,
        )
        try:
            for index, ids in stream:
                length = len(rendered.prompts[index])
                yield rendered.positions[index], read_completion(self._tokenizer, ids, self._ends, length)
        except torch.OutOfMemoryError:
            raise SamplingStopped(
                "A single prompt does not fit the memory of the device. Use a smaller max_new_tokens, dtype bfloat16, or "
                "a larger device."
            ) from None

    def close(self) -> None:
        del self._model


def model_identity(config: SamplingConfig, tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    """What tells a model apart from any other, as JSON values."""
    name = model_folder(config.model)
    return {
        "model": config.model,
        "revision": config.revision,
        "files": checksum_of(name),
        "adapter": is_adapter(name),
        "template": digest(tokenizer.chat_template),
    }
