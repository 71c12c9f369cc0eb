"""Samples a model with vLLM in this process."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..demo.names import model_folder
from .config import SamplingConfig
from .generate import stop_token_ids
from .local_sampler import LocalSampler, model_identity
from .models import base_of_adapter, is_adapter, load_tokenizer

_CHUNK = 256  # prompts handed to vLLM at a time: what is finished is journalled after each
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 512)  # the room for an adapter that vLLM reserves is one of these


class VLLMSampler(LocalSampler):
    """A model in vLLM, sampled with a seed for each prompt; an adapter by vLLM's own LoRA support."""

    def __init__(self, config: SamplingConfig) -> None:
        try:
            from vllm import LLM
            from vllm.lora.request import LoRARequest
        except ImportError:
            raise ValueError(
                "backend vllm needs vLLM: pip install 'egpo-trl[vllm]' on a machine with a GPU, or use backend "
                "transformers, or openai with a server."
            ) from None
        name = model_folder(config.model_name_or_path)
        tokenizer, adapter = load_tokenizer(config, name), is_adapter(name)
        options: dict[str, Any] = {
            "model": base_of_adapter(name) if adapter else name,
            "dtype": config.dtype,
            "revision": None if adapter else config.model_revision,
            "trust_remote_code": config.trust_remote_code,
            "seed": config.seed,
        }
        if adapter:
            options |= {"enable_lora": True, "max_lora_rank": _rank(name)}
        self._llm = LLM(**{**options, **(config.vllm_kwargs if isinstance(config.vllm_kwargs, dict) else {})})
        self._lora = LoRARequest("adapter", 1, name) if adapter else None
        self._room = int(self._llm.llm_engine.model_config.max_model_len)
        super().__init__(
            config, tokenizer, stop_token_ids(tokenizer, _generation_config(options["model"])), self._room
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        model = model_identity(self._config, self._tokenizer)
        return {"backend": "vllm", **model, "dtype": self._config.dtype, **self._config.decoding}

    def _stream(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
        for start in range(0, len(prompts), _CHUNK):
            part = range(start, min(start + _CHUNK, len(prompts)))
            outputs = self._llm.generate(
                [{"prompt_token_ids": list(prompts[index])} for index in part],
                [self._parameters(seeds[index], len(prompts[index])) for index in part],
                use_tqdm=False,
                lora_request=self._lora,
            )
            for index, output in zip(part, outputs, strict=True):
                yield index, list(output.outputs[0].token_ids)

    def _parameters(self, seed: int, length: int) -> Any:
        from vllm import SamplingParams

        config = self._config
        return SamplingParams(
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k or -1,
            max_tokens=min(config.max_completion_length, self._room - length),
            seed=seed,
            stop_token_ids=self._ends,
            detokenize=False,  # decoded here, special tokens included
        )

    def close(self) -> None:
        del self._llm


def _rank(folder: str) -> int:
    """Smallest rank that vLLM reserves room for and that the adapter fits into."""
    from peft import PeftConfig

    adapter = PeftConfig.from_pretrained(folder)
    rank = int(max([adapter.r, *(getattr(adapter, "rank_pattern", None) or {}).values()]))
    return next((size for size in _LORA_RANKS if size >= rank), rank)


def _generation_config(name: str) -> Any:
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(name)
    except OSError:  # a model without one
        return None
