"""Defines the fields that describe a model and its sampling."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..data.prompts import PROMPT_STYLES
from ..utils.options import check_choices, check_least, option


@dataclass(kw_only=True)
class EndpointConfig:
    """How a model is asked, at an endpoint or in this process; cleaning and evaluation share these fields."""

    max_completion_length: int = option("Longest completion, in tokens.", 1024)
    seed: int = option("Seed; each completion gets one of its own from it.", 0)
    base_url: str | None = option("Address of the endpoint; default: OpenAI's.", None)
    api_key_env: str = option("Environment variable with the key.", "OPENAI_API_KEY")
    temperature: float = option("Sampling temperature; 0 is greedy.", 0.0)
    chat_template_kwargs: dict[str, Any] | str | None = option(
        "Further arguments of the chat template, as JSON.", None
    )
    vllm_kwargs: dict[str, Any] | str | None = option("Further arguments of vllm.LLM, as JSON.", None)
    concurrency: int = option("Most requests in flight at a time.", 16)
    requests_per_minute: int | None = option("Most requests a minute, evenly spaced; retries count.", None)
    request_timeout: float = option("Seconds that one request may take in all.", 300.0)
    max_response_bytes: int = option("Longest body read from the endpoint.", 10_000_000)
    max_retries: int = option(
        "How often a failed request is sent again, after 0.5 to 8 s or a Retry-After of up to 2 minutes.",
        6,
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
        check_choices(self)
        check_least(self, 0, "temperature", "max_retries")
        check_least(self, 1, "max_completion_length", "concurrency", "requests_per_minute", "max_response_bytes")
        if not self.request_timeout > 0:
            raise ValueError(f"request_timeout must be positive, got {self.request_timeout}.")
        if self.base_url is not None and "@" in urlsplit(self.base_url).netloc:
            raise ValueError("base_url must not hold credentials, which the summary would show; use api_key_env.")

    @property
    def template_kwargs(self) -> dict[str, Any]:
        return dict(self.chat_template_kwargs) if isinstance(self.chat_template_kwargs, dict) else {}


@dataclass(kw_only=True)
class SamplingConfig(EndpointConfig):
    """A model and its decoding."""

    model_name_or_path: str = option(
        "'demo', 'gold' (the references), a folder (model or LoRA adapter), a Hub id, or a served model."
    )
    backend: str = option(
        "'transformers' or 'vllm' in this process, 'openai' for an endpoint.",
        "transformers",
        ("transformers", "vllm", "openai"),
    )
    model_revision: str | None = option("Branch, tag or commit of a model on the Hub.", None)
    dtype: str = option("Number format of the weights; 'auto': the checkpoint's.", "auto")
    device: str = option("Device; 'auto': the first accelerator, else the CPU.", "auto")
    attn_implementation: str | None = option("Attention of transformers.", None)
    trust_remote_code: bool = option("Whether code of a model may run.", False)
    prompt_style: str = option(
        "As in training. 'native': the chat template renders the tools. 'paper': a system message does.",
        "native",
        PROMPT_STYLES,
    )
    think_tags: list[str] | None = option("Opening and closing tag, if not the usual.", None)
    chat_template_path: str | None = option("Jinja file in place of the chat template.", None)
    top_k: int = option("Most likely tokens to sample from; 0 is all.", 0)
    top_p: float = option("Probability mass to sample from.", 1.0)
    batch_size: int = option("Most prompts in a batch (transformers).", 32)
    max_batch_tokens: int | None = option(
        "Most positions in a batch, padding and completions included (transformers).", None
    )
    endpoint_api: str = option(
        "'chat': the server renders the prompt. 'completions': rendered here with tokenizer.",
        "chat",
        ("chat", "completions"),
    )
    tokenizer: str | None = option("Tokenizer for endpoint_api completions: 'demo', a folder or a Hub id.", None)
    tool_choice: str = option(
        "Sent with tools to a chat endpoint; 'none': vLLM gives raw text.", "auto", ("auto", "none")
    )
    on_rejection: str = option(
        "When the endpoint refuses a prompt for good: end the run, or score 0. A prompt that is too long "
        "always scores 0.",
        "stop",
        ("stop", "score_0"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 0, "top_k")
        check_least(self, 1, "batch_size", "max_batch_tokens")
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
        names = ("temperature", "top_k", "top_p", "max_completion_length", "seed", "prompt_style", "think_tags",
                 "chat_template_kwargs")  # fmt: skip
        return {name: getattr(self, name) for name in names}


@dataclass(kw_only=True)
class EvaluationConfig(SamplingConfig):
    """Configuration of `egpo-trl evaluate`, besides the options of the suite."""

    output_dir: str = option("Folder for journal, scores and summary; a run in it is continued.")
    num_samples: int = option("Samples of each prompt; may be raised later.", 1)
    live_conversations: int = option("Most conversations in progress at a time.", 1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "num_samples", "live_conversations")
        if self.num_samples > 1 and self.temperature == 0:
            raise ValueError("num_samples above 1 needs a temperature above 0: greedy samples are all equal.")
        if not self.output_dir:
            raise ValueError("output_dir must name a folder.")
