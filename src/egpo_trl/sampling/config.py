"""The fields that say which model is sampled, and how."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..data.prompts import PROMPT_STYLES

BACKENDS = ("transformers", "vllm", "openai")
ENDPOINT_APIS = ("chat", "completions")
TOOL_CHOICES = ("auto", "none")
REJECTION_POLICIES = ("stop", "score_0")


def check_choices(config: Any, **choices: Sequence[str]) -> None:
    """Raise `ValueError` if a field has none of its values."""
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(config, name)!r}.")


def check_least(config: Any, least: int, *names: str) -> None:
    """Raise `ValueError` if a field that is set is smaller than the least value."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


@dataclass(kw_only=True)
class EndpointConfig:
    """How a model is asked, at an endpoint or in this process; cleaning and evaluation share these fields."""

    base_url: str | None = field(default=None, metadata={"help": "Address of the endpoint; default: OpenAI's."})
    api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "Environment variable with the key."})
    temperature: float = field(default=0.0, metadata={"help": "Sampling temperature; 0 is greedy."})
    chat_template_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Further arguments of the chat template, as JSON."}
    )
    vllm_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Further arguments of vllm.LLM, as JSON."}
    )
    concurrency: int = field(default=16, metadata={"help": "Requests at a time."})
    requests_per_minute: int | None = field(
        default=None, metadata={"help": "Most requests a minute, evenly spaced; retries count."}
    )
    request_timeout: float = field(default=300.0, metadata={"help": "Seconds that one request may take in all."})
    max_response_bytes: int = field(default=10_000_000, metadata={"help": "Longest body read from the endpoint."})
    max_retries: int = field(
        default=6,
        metadata={
            "help": "How often a failed request is sent again. The openai client doubles the wait from 0.5 to 8 s and "
            "waits for a Retry-After of up to 2 minutes; a longer one ends the run."
        },
    )

    def __post_init__(self) -> None:
        for name in ("chat_template_kwargs", "vllm_kwargs"):
            value = getattr(self, name)
            if isinstance(value, str):
                try:
                    value = json.loads(value)
                except ValueError as error:
                    raise ValueError(f"{name} must be a JSON object: {error}.") from None
            if not isinstance(value, dict | None):
                raise ValueError(f"{name} must be a JSON object.")
            setattr(self, name, value)
        check_least(self, 0, "temperature", "max_retries")
        check_least(self, 1, "concurrency", "requests_per_minute", "max_response_bytes")
        if not self.request_timeout > 0:
            raise ValueError(f"request_timeout must be positive, got {self.request_timeout}.")
        if self.base_url is not None and "@" in urlsplit(self.base_url).netloc:
            raise ValueError("base_url must not hold credentials, which the summary would show; use api_key_env.")

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """Further arguments of the chat template."""
        return dict(self.chat_template_kwargs) if isinstance(self.chat_template_kwargs, dict) else {}


@dataclass(kw_only=True)
class SamplingConfig(EndpointConfig):
    """A model and its decoding."""

    model: str = field(
        metadata={
            "help": "'demo', 'gold' (the references), a folder (model or LoRA adapter), a Hub id, or a served model."
        }
    )
    backend: str = field(
        default="transformers",
        metadata={"help": "'transformers' or 'vllm' in this process, 'openai' for an endpoint.", "choices": BACKENDS},
    )
    revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of a model on the Hub."})
    dtype: str = field(default="auto", metadata={"help": "Number format of the weights; 'auto': the checkpoint's."})
    device: str = field(default="auto", metadata={"help": "Device; 'auto': the first accelerator, else the CPU."})
    attn_implementation: str | None = field(default=None, metadata={"help": "Attention of transformers."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Whether code of a model may run."})
    prompt_style: str = field(
        default="native",
        metadata={
            "help": "As in training. 'native': the chat template renders the tools. 'paper': a system message does.",
            "choices": PROMPT_STYLES,
        },
    )
    think_tags: list[str] | None = field(default=None, metadata={"help": "Opening and closing tag, if not the usual."})
    chat_template: str | None = field(default=None, metadata={"help": "Jinja file in place of the chat template."})
    top_k: int = field(default=0, metadata={"help": "Most likely tokens to sample from; 0 is all."})
    top_p: float = field(default=1.0, metadata={"help": "Probability mass to sample from."})
    max_new_tokens: int = field(default=1024, metadata={"help": "Longest completion, in tokens."})
    seed: int = field(default=0, metadata={"help": "Seed; each completion gets one of its own from it."})
    batch_size: int = field(default=32, metadata={"help": "Most prompts in a batch (transformers)."})
    max_batch_tokens: int | None = field(
        default=None, metadata={"help": "Most positions in a batch, padding and completions included (transformers)."}
    )
    endpoint_api: str = field(
        default="chat",
        metadata={
            "help": "'chat': the server renders the prompt. 'completions': rendered here with tokenizer.",
            "choices": ENDPOINT_APIS,
        },
    )
    tokenizer: str | None = field(
        default=None, metadata={"help": "Tokenizer for endpoint_api completions: 'demo', a folder or a Hub id."}
    )
    tool_choice: str = field(
        default="auto",
        metadata={"help": "Sent with tools to a chat endpoint; 'none': vLLM gives raw text.", "choices": TOOL_CHOICES},
    )
    on_rejection: str = field(
        default="stop",
        metadata={
            "help": "When the endpoint refuses a prompt for good: end the run, or score 0. A prompt that is too long "
            "always scores 0.",
            "choices": REJECTION_POLICIES,
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(
            self, backend=BACKENDS, prompt_style=PROMPT_STYLES, endpoint_api=ENDPOINT_APIS, tool_choice=TOOL_CHOICES,
            on_rejection=REJECTION_POLICIES,
        )  # fmt: skip
        check_least(self, 0, "top_k")
        check_least(self, 1, "max_new_tokens", "batch_size", "max_batch_tokens")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}.")
        if self.think_tags is not None and (len(self.think_tags) != 2 or not all(self.think_tags)):
            raise ValueError(f"think_tags must be an opening and a closing tag, got {self.think_tags!r}.")
        if self.backend == "openai" and self.endpoint_api == "completions" and self.tokenizer is None:
            raise ValueError("endpoint_api 'completions' renders prompts here: name the model's tokenizer.")
        if self.prompt_style == "paper" and self.template_kwargs.get("enable_thinking") is False:
            raise ValueError("prompt_style 'paper' asks the model to think, which contradicts enable_thinking: false.")

    @property
    def decoding(self) -> dict[str, Any]:
        """What the completion of a prompt depends on besides the model, as JSON values."""
        names = ("temperature", "top_k", "top_p", "max_new_tokens", "seed", "prompt_style", "think_tags",
                 "chat_template_kwargs")  # fmt: skip
        return {name: getattr(self, name) for name in names}


@dataclass(kw_only=True)
class EvaluationConfig(SamplingConfig):
    """Configuration of `egpo-trl evaluate`, besides the options of the suite."""

    output_dir: str = field(metadata={"help": "Folder for journal, scores and summary; a run in it is continued."})
    num_samples: int = field(default=1, metadata={"help": "Samples of each prompt; may be raised later."})
    live_conversations: int = field(default=1024, metadata={"help": "Conversations under way at a time."})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "num_samples", "live_conversations")
        if self.num_samples > 1 and self.temperature == 0:
            raise ValueError("num_samples above 1 needs a temperature above 0: greedy samples are all equal.")
        if not self.output_dir:
            raise ValueError("output_dir must name a folder.")
