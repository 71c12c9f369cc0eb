"""Samples a model with vLLM in this process."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..demo.names import model_folder
from .completion import Completion
from .config import SamplingConfig
from .generate import stop_token_ids
from .local_sampler import RenderedRequests, model_identity, read_completion
from .models import base_of_adapter, is_adapter, load_tokenizer
from .rendering import PromptRenderer
from .sampler import Request, prompt_format

_CHUNK = 256  # prompts handed to vLLM at a time: what is finished is journalled after each
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 512)  # the room for an adapter that vLLM reserves is one of these


class VLLMSampler:
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
        self._config = config
        self._name = model_folder(config.model)
        self._tokenizer = load_tokenizer(config, self._name)
        adapter = is_adapter(self._name)
        options: dict[str, Any] = {
            "model": base_of_adapter(self._name) if adapter else self._name,
            "dtype": config.dtype,
            "revision": None if adapter else config.revision,
            "trust_remote_code": config.trust_remote_code,
            "seed": config.seed,
        }
        if adapter:
            options |= {"enable_lora": True, "max_lora_rank": _rank(self._name)}
        self._llm = LLM(**{**options, **(config.vllm_kwargs if isinstance(config.vllm_kwargs, dict) else {})})
        self._lora = LoRARequest("adapter", 1, self._name) if adapter else None
        self._context = int(self._llm.llm_engine.model_config.max_model_len)
        self._ends = stop_token_ids(self._tokenizer, _generation_config(options["model"]))
        self.prompts = prompt_format(config, self._tokenizer, self._ends)
        self._renderer = PromptRenderer(self.prompts)

    @property
    def identity(self) -> Mapping[str, Any]:
        model = model_identity(self._config, self._tokenizer)
        return {"backend": "vllm", **model, "dtype": self._config.dtype, **self._config.decoding}

    def sample(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        rendered = RenderedRequests(requests, self._renderer, self._context)
        yield from rendered.refused
        for start in range(0, len(rendered.positions), _CHUNK):
            part = range(start, min(start + _CHUNK, len(rendered.positions)))
            outputs = self._llm.generate(
                [{"prompt_token_ids": list(rendered.prompts[index])} for index in part],
                [self._parameters(requests[rendered.positions[index]].seed, rendered, index) for index in part],
                use_tqdm=False,
                lora_request=self._lora,
            )
            for index, output in zip(part, outputs, strict=True):
                ids = list(output.outputs[0].token_ids)
                length = len(rendered.prompts[index])
                yield rendered.positions[index], read_completion(self._tokenizer, ids, self._ends, length)

    def _parameters(self, seed: int, rendered: RenderedRequests, index: int) -> Any:
        from vllm import SamplingParams

        config = self._config
        return SamplingParams(
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k or -1,
            max_tokens=min(config.max_new_tokens, self._context - len(rendered.prompts[index])),
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
