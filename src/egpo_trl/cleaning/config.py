"""What a cleaning run reads, asks, keeps to and writes."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..data.leaks import MIN_WORDS
from ..demo.names import DEMO

BACKENDS = ("openai", "transformers", "none")
STRUCTURED_OUTPUTS = ("json_schema", "json_object", "none")
OUTPUT_FORMATS = ("parquet", "jsonl")
FSYNC_POLICIES = ("always", "interval", "never")
FAILURE_POLICIES = ("stop", "drop")


@dataclass
class CleaningConfig:
    """
    Configuration of [`clean`] and of `egpo-trl clean`.

    Args:
        output_dir (`str`):
            Folder for the cleaned rows, the dropped ones, the journal and the manifest.
        dataset_name (`str`, *optional*, defaults to `"demo"`):
            Canonical rows: `"demo"` for the embedded tool world, a file (`.jsonl`, `.json`, `.parquet`, `.csv`), a
            folder, or a data set on the Hub.
        dataset_config (`str`, *optional*):
            Configuration of a data set on the Hub.
        dataset_split (`str`, *optional*, defaults to `"train"`):
            Split to clean.
        num_demo_rows (`int`, *optional*, defaults to `4000`):
            Rows that the embedded world makes up.
        judge_backend (`str`, *optional*, defaults to `"openai"`):
            `"openai"`: an OpenAI-compatible endpoint. `"transformers"`: a model in this process. `"none"`: no LLM
            stage, AST evaluation only.
        judge_model (`str`, *optional*):
            Model that the endpoint serves, or folder or Hub id of the model in this process.
        base_url (`str`, *optional*):
            Address of the endpoint, such as `"http://localhost:8000/v1"`; by default that of OpenAI.
        api_key_env (`str`, *optional*, defaults to `"OPENAI_API_KEY"`):
            Environment variable that holds the key. An endpoint at `base_url` is asked without one if it is not set.
        system_prompt_file (`str`, *optional*):
            Text file to use as system message of the judge in place of the packaged one.
        user_prompt_file (`str`, *optional*):
            Text file with `$conversation`, `$tools` and `$answer` in place of the packaged user message.
        max_regenerations (`int`, *optional*, defaults to `3`):
            Corrections that are evaluated before a row is dropped; the paper's number.
        temperature (`float`, *optional*, defaults to `0.0`):
            Sampling temperature of the judge.
        max_tokens (`int`, *optional*, defaults to `1024`):
            Longest reply of the judge, in tokens.
        judge_seed (`int`, *optional*, defaults to `0`):
            Seed that is sent to the endpoint, or that the model in this process samples with.
        structured_output (`str`, *optional*, defaults to `"json_schema"`):
            `response_format` to ask the endpoint for: `"json_schema"`, `"json_object"` or `"none"`. Replies are
            validated whatever it is.
        chat_template_kwargs (`dict`, *optional*):
            Further arguments of the judge's chat template, such as `{"enable_thinking": false}`. Sent to an endpoint
            only if given (vLLM, SGLang and llama.cpp take it).
        judge_batch_size (`int`, *optional*, defaults to `8`):
            Questions that a model in this process answers in one batch.
        concurrency (`int`, *optional*, defaults to `16`):
            Rows that are being judged at a time.
        requests_per_minute (`int`, *optional*):
            Most requests a minute, evenly spaced; no limit by default.
        request_timeout (`float`, *optional*, defaults to `120.0`):
            Seconds that a request may take in all.
        max_response_bytes (`int`, *optional*, defaults to `1000000`):
            Longest body that is read from the endpoint.
        max_retries (`int`, *optional*, defaults to `6`):
            Further tries of a question after a failed request or a reply that is no verdict.
        backoff_seconds (`float`, *optional*, defaults to `0.5`):
            Wait before the first further try; doubles with each, with jitter.
        max_backoff_seconds (`float`, *optional*, defaults to `60.0`):
            Longest such wait. A longer `Retry-After` of the server is kept to, up to `max_retry_after`.
        max_retry_after (`float`, *optional*, defaults to `600.0`):
            Longest `Retry-After`, in seconds, that is waited for; a longer one ends the run, to be resumed later.
        on_judge_failure (`str`, *optional*, defaults to `"stop"`):
            What happens when a question fails for good (retries used up on failed requests, or rejected with a status
            such as 400): `"stop"` ends the run, to be resumed; `"drop"` drops the row.
        max_requests (`int`, *optional*):
            Budget: most requests, counted over resumptions. No limit by default.
        max_total_tokens (`int`, *optional*):
            Budget: most tokens of prompts and replies, counted over resumptions. No limit by default.
        drop_duplicates (`bool`, *optional*, defaults to `True`):
            Whether rows with the prompt and functions of an earlier one are dropped before they are judged.
        benchmark_questions (`str`, *optional*):
            Questions that must not be trained on: `"bfcl"` for those in the installed package `bfcl-eval`, a folder of
            BFCL question files, or a file of canonical rows. Rows with one of them, word for word or nearly, are dropped
            before they are judged.
        leak_threshold (`float`, *optional*, defaults to `0.7`):
            Similarity from which a message counts as such a question, see [`~egpo_trl.data.leaks.BenchmarkLeaks`]; 1
            lets all through that do not share every three-word run.
        leak_min_words (`int`, *optional*, defaults to `5`):
            Fewest words of a question that is looked for.
        ast_evaluation (`bool`, *optional*, defaults to `True`):
            Whether the AST evaluation follows.
        call_needed (`str`, *optional*):
            Whether the queries need a call, for the AST evaluation: `"always"`, `"never"`, or the name of a column that
            holds true, false, or null where nobody knows. By default nobody does.
        output_format (`str`, *optional*, defaults to `"parquet"`):
            `"parquet"` or `"jsonl"`.
        fsync (`str`, *optional*, defaults to `"always"`):
            When the journal is forced to disk: `"always"`, after each verdict; `"interval"`, at most once a second;
            `"never"`, left to the system. A verdict survives a kill of the process under each; what differs is a
            power failure.
    """

    output_dir: str = field(metadata={"help": "Folder for rows, dropped rows, journal and manifest."})
    dataset_name: str = field(
        default=DEMO,
        metadata={"help": "'demo', a file (.jsonl, .json, .parquet, .csv), a folder, or a data set on the Hub."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a data set on the Hub."})
    dataset_split: str = field(default="train", metadata={"help": "Split to clean."})
    num_demo_rows: int = field(default=4000, metadata={"help": "Rows that the embedded world makes up."})
    judge_backend: str = field(
        default="openai",
        metadata={"help": "'openai' (an endpoint), 'transformers' (in this process), 'none'.", "choices": BACKENDS},
    )
    judge_model: str | None = field(default=None, metadata={"help": "Model that judges."})
    base_url: str | None = field(default=None, metadata={"help": "Address of the endpoint; default: OpenAI's."})
    api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "Environment variable with the key."})
    system_prompt_file: str | None = field(default=None, metadata={"help": "Text file: the judge's system message."})
    user_prompt_file: str | None = field(
        default=None, metadata={"help": "Text file: the user message, with $conversation, $tools and $answer."}
    )
    max_regenerations: int = field(default=3, metadata={"help": "Corrections evaluated before a row is dropped."})
    temperature: float = field(default=0.0, metadata={"help": "Sampling temperature of the judge."})
    max_tokens: int = field(default=1024, metadata={"help": "Longest reply of the judge, in tokens."})
    judge_seed: int = field(default=0, metadata={"help": "Seed of the judge."})
    structured_output: str = field(
        default="json_schema",
        metadata={"help": "response_format to ask the endpoint for.", "choices": STRUCTURED_OUTPUTS},
    )
    chat_template_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Further arguments of the judge's chat template, as JSON."}
    )
    judge_batch_size: int = field(default=8, metadata={"help": "Batch of a model in this process."})
    concurrency: int = field(default=16, metadata={"help": "Rows that are being judged at a time."})
    requests_per_minute: int | None = field(default=None, metadata={"help": "Most requests a minute."})
    request_timeout: float = field(default=120.0, metadata={"help": "Seconds that a request may take in all."})
    max_response_bytes: int = field(default=1_000_000, metadata={"help": "Longest body read from the endpoint."})
    max_retries: int = field(default=6, metadata={"help": "Further tries of a question that failed."})
    backoff_seconds: float = field(default=0.5, metadata={"help": "Wait before the first further try; doubles."})
    max_backoff_seconds: float = field(default=60.0, metadata={"help": "Longest such wait."})
    max_retry_after: float = field(default=600.0, metadata={"help": "Longest Retry-After that is waited for."})
    on_judge_failure: str = field(
        default="stop",
        metadata={"help": "When a question fails for good: end the run or drop the row.", "choices": FAILURE_POLICIES},
    )
    max_requests: int | None = field(default=None, metadata={"help": "Budget: most requests, over resumptions."})
    max_total_tokens: int | None = field(default=None, metadata={"help": "Budget: most tokens, over resumptions."})
    drop_duplicates: bool = field(
        default=True, metadata={"help": "Drop rows with the prompt and functions of an earlier one."}
    )
    benchmark_questions: str | None = field(
        default=None,
        metadata={"help": "Questions to keep out: 'bfcl' (installed), a folder of BFCL files, or a file of rows."},
    )
    leak_threshold: float = field(default=0.7, metadata={"help": "Similarity from which a message is a question."})
    leak_min_words: int = field(default=MIN_WORDS, metadata={"help": "Fewest words of a question that is looked for."})
    ast_evaluation: bool = field(default=True, metadata={"help": "Whether the AST evaluation follows."})
    call_needed: str | None = field(
        default=None,
        metadata={"help": "Whether the queries need a call: 'always', 'never', or a column with true, false or null."},
    )
    output_format: str = field(
        default="parquet", metadata={"help": "Format of the cleaned rows.", "choices": OUTPUT_FORMATS}
    )
    fsync: str = field(
        default="always",
        metadata={"help": "When the journal is forced to disk.", "choices": FSYNC_POLICIES},
    )

    def __post_init__(self) -> None:
        if isinstance(self.chat_template_kwargs, str):
            try:
                self.chat_template_kwargs = json.loads(self.chat_template_kwargs)
            except ValueError as error:
                raise ValueError(f"chat_template_kwargs must be a JSON object: {error}.") from None
        if not isinstance(self.chat_template_kwargs, dict | None):
            raise ValueError("chat_template_kwargs must be a JSON object.")
        for name, allowed in (
            ("judge_backend", BACKENDS), ("structured_output", STRUCTURED_OUTPUTS), ("fsync", FSYNC_POLICIES),
            ("output_format", OUTPUT_FORMATS), ("on_judge_failure", FAILURE_POLICIES),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, least in (
            ("max_regenerations", 0), ("temperature", 0), ("max_retries", 0), ("backoff_seconds", 0),
            ("max_backoff_seconds", 0), ("max_retry_after", 0), ("max_tokens", 1), ("judge_batch_size", 1),
            ("concurrency", 1), ("max_response_bytes", 1), ("requests_per_minute", 1), ("max_requests", 1),
            ("max_total_tokens", 1), ("leak_min_words", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        if not self.request_timeout > 0:
            raise ValueError(f"request_timeout must be positive, got {self.request_timeout}.")
        if self.base_url is not None and "@" in urlsplit(self.base_url).netloc:
            raise ValueError("base_url must not hold credentials, which the manifest would show; use api_key_env.")
        if not 0 < self.leak_threshold <= 1:
            raise ValueError(f"leak_threshold must be above 0 and at most 1, got {self.leak_threshold}.")
        if self.call_needed is not None and not self.ast_evaluation:
            raise ValueError("call_needed is looked at by the AST evaluation: leave ast_evaluation on.")
        if not self.output_dir:
            raise ValueError("output_dir must name a folder.")

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, for the manifest."""
        return asdict(self)
