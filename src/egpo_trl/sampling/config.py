"""What an evaluation samples, how, and where it writes."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..data.prompts import PROMPT_STYLES

BACKENDS = ("transformers", "vllm", "openai")
ENDPOINT_APIS = ("chat", "completions")
TOOL_CHOICES = ("auto", "none")
REJECTION_POLICIES = ("stop", "score_0")


@dataclass
class EvaluationConfig:
    """
    Configuration of `egpo-trl evaluate`, beside the options of the suite.

    Args:
        model (`str`):
            `"demo"` for the embedded policy, `"gold"` for the references of a benchmark as its answers, a folder (of a
            model or of a LoRA adapter), a model on the Hub, or the name of a model that the endpoint serves.
        output_dir (`str`):
            Folder for the journal, the scores and the summary.
        backend (`str`, *optional*, defaults to `"transformers"`):
            `"transformers"` and `"vllm"`: in this process. `"openai"`: an OpenAI-compatible endpoint.
        revision (`str`, *optional*):
            Branch, tag or commit of a model on the Hub.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Number format of the weights: `"auto"` is that of the checkpoint.
        device (`str`, *optional*, defaults to `"auto"`):
            Device of the transformers back end: `"auto"` is the first accelerator, else the CPU.
        attn_implementation (`str`, *optional*):
            Attention of the transformers back end.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Whether code that comes with a model may run.
        prompt_style (`str`, *optional*, defaults to `"native"`):
            As in training: `"native"`, the chat template renders the tools; `"paper"`, a system message lists them.
        think_tags (`list[str]`, *optional*):
            Opening and closing tag of the chain of thought, where they are not the model's own.
        chat_template (`str`, *optional*):
            Jinja file to use in place of the tokenizer's chat template.
        chat_template_kwargs (`dict`, *optional*):
            Further arguments of the chat template, such as `{"enable_thinking": false}`.
        num_samples (`int`, *optional*, defaults to `1`):
            Samples of each prompt. A finished run goes on where it was with a larger number.
        temperature (`float`, *optional*, defaults to `0.0`):
            Sampling temperature; 0 is greedy.
        top_k (`int`, *optional*, defaults to `0`):
            Most likely tokens to sample from; 0 is all.
        top_p (`float`, *optional*, defaults to `1.0`):
            Probability mass to sample from.
        max_new_tokens (`int`, *optional*, defaults to `1024`):
            Longest completion, in tokens.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the run. Each completion gets a seed of its own from it.
        batch_size (`int`, *optional*, defaults to `32`):
            Most prompts in a batch of the transformers back end.
        max_batch_tokens (`int`, *optional*):
            Most positions in a batch, padding and completions included: bounds its memory whatever the lengths.
        live_conversations (`int`, *optional*, defaults to `1024`):
            Conversations that are under way at a time.
        vllm_kwargs (`dict`, *optional*):
            Further arguments of `vllm.LLM`, such as `{"gpu_memory_utilization": 0.8, "tensor_parallel_size": 2}`.
        base_url (`str`, *optional*):
            Address of the endpoint, such as `"http://localhost:8000/v1"`; by default that of OpenAI.
        api_key_env (`str`, *optional*, defaults to `"OPENAI_API_KEY"`):
            Environment variable that holds the key. An endpoint at `base_url` is asked without one if it is not set.
        endpoint_api (`str`, *optional*, defaults to `"chat"`):
            `"chat"`: the server renders messages and tools. `"completions"`: token ids that are rendered here with
            `tokenizer`, so that the prompt is the one of training.
        tokenizer (`str`, *optional*):
            Folder or Hub id of the tokenizer for `endpoint_api: completions`.
        tool_choice (`str`, *optional*, defaults to `"auto"`):
            Sent with tools to a chat endpoint. `"none"` makes vLLM return calls as text, unparsed.
        concurrency (`int`, *optional*, defaults to `16`):
            Requests at a time.
        requests_per_minute (`int`, *optional*):
            Most requests a minute, evenly spaced.
        request_timeout (`float`, *optional*, defaults to `300.0`):
            Seconds that a request may take in all.
        max_response_bytes (`int`, *optional*, defaults to `10000000`):
            Longest body that is read from the endpoint.
        max_retries (`int`, *optional*, defaults to `6`):
            Further tries of a request that failed in a way that may pass.
        backoff_seconds (`float`, *optional*, defaults to `0.5`):
            Wait before the first further try; doubles with each, with jitter.
        max_backoff_seconds (`float`, *optional*, defaults to `60.0`):
            Longest such wait.
        max_retry_after (`float`, *optional*, defaults to `600.0`):
            Longest `Retry-After` of the server, in seconds, that is waited for; a longer one ends the run.
        on_rejection (`str`, *optional*, defaults to `"stop"`):
            What happens when the endpoint refuses a prompt for good, with status 400 or 422 say: `"stop"` ends the run,
            to be resumed; `"score_0"` goes on, and the prompt is worth 0. A prompt that is refused as too long is
            worth 0 in either case.
    """

    model: str = field(
        metadata={
            "help": "'demo', 'gold' (the references), a folder (model or LoRA adapter), a Hub id, or a served model."
        }
    )
    output_dir: str = field(metadata={"help": "Folder for journal, scores and summary; a run in it is continued."})
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
    chat_template_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Further arguments of the chat template, as JSON."}
    )
    num_samples: int = field(default=1, metadata={"help": "Samples of each prompt; may be raised later."})
    temperature: float = field(default=0.0, metadata={"help": "Sampling temperature; 0 is greedy."})
    top_k: int = field(default=0, metadata={"help": "Most likely tokens to sample from; 0 is all."})
    top_p: float = field(default=1.0, metadata={"help": "Probability mass to sample from."})
    max_new_tokens: int = field(default=1024, metadata={"help": "Longest completion, in tokens."})
    seed: int = field(default=0, metadata={"help": "Seed; each completion gets one of its own from it."})
    batch_size: int = field(default=32, metadata={"help": "Most prompts in a batch (transformers)."})
    max_batch_tokens: int | None = field(
        default=None, metadata={"help": "Most positions in a batch, padding and completions included (transformers)."}
    )
    live_conversations: int = field(default=1024, metadata={"help": "Conversations under way at a time."})
    vllm_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Further arguments of vllm.LLM, as JSON."}
    )
    base_url: str | None = field(default=None, metadata={"help": "Address of the endpoint; default: OpenAI's."})
    api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "Environment variable with the key."})
    endpoint_api: str = field(
        default="chat",
        metadata={
            "help": "'chat': the server renders the prompt. 'completions': rendered here with tokenizer.",
            "choices": ENDPOINT_APIS,
        },
    )
    tokenizer: str | None = field(default=None, metadata={"help": "Tokenizer for endpoint_api completions."})
    tool_choice: str = field(
        default="auto",
        metadata={"help": "Sent with tools to a chat endpoint; 'none': vLLM gives raw text.", "choices": TOOL_CHOICES},
    )
    concurrency: int = field(default=16, metadata={"help": "Requests at a time."})
    requests_per_minute: int | None = field(default=None, metadata={"help": "Most requests a minute."})
    request_timeout: float = field(default=300.0, metadata={"help": "Seconds that a request may take in all."})
    max_response_bytes: int = field(default=10_000_000, metadata={"help": "Longest body read from the endpoint."})
    max_retries: int = field(default=6, metadata={"help": "Further tries of a request that failed."})
    backoff_seconds: float = field(default=0.5, metadata={"help": "Wait before the first further try; doubles."})
    max_backoff_seconds: float = field(default=60.0, metadata={"help": "Longest such wait."})
    max_retry_after: float = field(default=600.0, metadata={"help": "Longest Retry-After that is waited for."})
    on_rejection: str = field(
        default="stop",
        metadata={"help": "When the endpoint refuses a prompt: end, or score 0.", "choices": REJECTION_POLICIES},
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
        for name, allowed in (
            ("backend", BACKENDS), ("prompt_style", PROMPT_STYLES), ("endpoint_api", ENDPOINT_APIS),
            ("tool_choice", TOOL_CHOICES), ("on_rejection", REJECTION_POLICIES),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, least in (
            ("num_samples", 1), ("temperature", 0), ("top_k", 0), ("max_new_tokens", 1), ("batch_size", 1),
            ("max_batch_tokens", 1), ("live_conversations", 1), ("concurrency", 1), ("requests_per_minute", 1),
            ("max_response_bytes", 1), ("max_retries", 0), ("backoff_seconds", 0), ("max_backoff_seconds", 0),
            ("max_retry_after", 0),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}.")
        if not self.request_timeout > 0:
            raise ValueError(f"request_timeout must be positive, got {self.request_timeout}.")
        if self.num_samples > 1 and self.temperature == 0:
            raise ValueError("num_samples above 1 needs a temperature above 0: greedy samples are all equal.")
        if self.think_tags is not None and (len(self.think_tags) != 2 or not all(self.think_tags)):
            raise ValueError(f"think_tags must be an opening and a closing tag, got {self.think_tags!r}.")
        if self.backend == "openai" and self.endpoint_api == "completions" and self.tokenizer is None:
            raise ValueError("endpoint_api 'completions' renders prompts here: name the model's tokenizer.")
        if self.base_url is not None and "@" in urlsplit(self.base_url).netloc:
            raise ValueError("base_url must not hold credentials, which the summary would show; use api_key_env.")
        if self.prompt_style == "paper" and self.template_kwargs.get("enable_thinking") is False:
            raise ValueError("prompt_style 'paper' asks the model to think, which contradicts enable_thinking: false.")
        if not self.output_dir:
            raise ValueError("output_dir must name a folder.")

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """Further arguments of the chat template."""
        return dict(self.chat_template_kwargs) if isinstance(self.chat_template_kwargs, dict) else {}

    @property
    def decoding(self) -> dict[str, Any]:
        """What is sampled for a prompt: decoding, limits, seed and rendering, as JSON values."""
        names = ("temperature", "top_k", "top_p", "max_new_tokens", "seed", "prompt_style", "think_tags",
                 "chat_template_kwargs")  # fmt: skip
        return {name: getattr(self, name) for name in names}
