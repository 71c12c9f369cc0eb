"""Renders prompts in this process, and samples a model with transformers."""

from abc import ABC, abstractmethod
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


class LocalSampler(ABC):
    """A model in this process: prompts are rendered here, and those that leave no room for a token are refused."""

    def __init__(
        self, config: SamplingConfig, tokenizer: "PreTrainedTokenizerBase", ends: Sequence[int], context: int | None
    ) -> None:
        self._config, self._tokenizer, self._ends, self._context = config, tokenizer, ends, context
        self.prompts = prompt_format(config, tokenizer, ends)
        self._renderer = PromptRenderer(self.prompts)

    @abstractmethod
    def _stream(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
        """Token ids of a completion for each prompt, in any order."""

    def sample(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        positions, prompts, seeds = [], [], []
        for position, request in enumerate(list(requests)):
            try:
                ids = array("i", self._renderer(request.row))
            except RenderingError as error:
                yield position, Completion(str(error), finish_reason="error")
                continue
            if self._context is not None and len(ids) >= self._context:
                yield position, Completion("", num_prompt_tokens=len(ids), finish_reason="prompt_too_long")
                continue
            positions.append(position)
            prompts.append(ids)
            seeds.append(request.seed)
        for index, completion in self._stream(prompts, seeds):
            stopped = bool(completion) and completion[-1] in self._ends
            text = self._tokenizer.decode(
                list(completion[:-1] if stopped else completion),
                skip_special_tokens=False,
                clean_up_tokenization_spaces=False,
            )
            reason = "stop" if stopped else "length"
            yield positions[index], Completion(str(text), tuple(completion), len(prompts[index]), reason)


class TransformersSampler(LocalSampler):
    """A transformers model in this process, sampled in batches of prompts of similar length."""

    def __init__(
        self,
        config: SamplingConfig,
        model: "PreTrainedModel | None" = None,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
    ) -> None:
        name = model_folder(config.model_name_or_path)
        tokenizer = load_tokenizer(config, name) if tokenizer is None else tokenizer
        self._model = load_model(config, name) if model is None else model
        ends = stop_token_ids(tokenizer, self._model.generation_config)
        super().__init__(config, tokenizer, ends, context_length(self._model.config))

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "backend": "transformers",
            **model_identity(self._config, self._tokenizer),
            "commit": getattr(self._model.config, "_commit_hash", None),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            **self._config.decoding,
        }

    def _stream(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
        import torch

        names = ("temperature", "top_k", "top_p", "batch_size", "max_batch_tokens")
        options = {name: getattr(self._config, name) for name in names}
        try:
            yield from stream_completions(
                self._model, self._tokenizer, prompts, seeds, max_new_tokens=self._config.max_completion_length,
                context_length=self._context, **options,
            )  # fmt: skip
        except torch.OutOfMemoryError:
            raise SamplingStopped(
                "A single prompt does not fit the memory of the device. Use a smaller max_completion_length, "
                "dtype bfloat16, or a larger device."
            ) from None

    def close(self) -> None:
        del self._model


def model_identity(config: SamplingConfig, tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    """What tells a model apart from any other, as JSON values."""
    name = model_folder(config.model_name_or_path)
    return {
        "model": config.model_name_or_path,
        "revision": config.model_revision,
        "files": checksum_of(name),
        "adapter": is_adapter(name),
        "template": digest(tokenizer.chat_template),
    }
