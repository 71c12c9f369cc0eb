"""The fields of a cleaning run."""

from dataclasses import dataclass

from ..data.leaks import MIN_WORDS
from ..data.options import DemoOrRowsOptions
from ..sampling.config import EndpointConfig
from ..utils.options import check_least, option


@dataclass(kw_only=True)
class CleaningConfig(EndpointConfig, DemoOrRowsOptions):
    """Configuration of [`clean`] and of `egpo-trl clean`."""

    output_dir: str = option("Folder for rows, dropped rows, journal and manifest.")
    backend: str = option(
        "'openai' (an endpoint), 'transformers' or 'vllm' (in this process), 'none' (AST evaluation only).",
        "openai",
        ("openai", "transformers", "vllm", "none"),
    )
    model_name_or_path: str | None = option("Model that judges.", None)
    system_prompt_file: str | None = option("Text file: the judge's system message.", None)
    user_prompt_file: str | None = option("Text file: the user message, with $conversation, $tools and $answer.", None)
    max_regenerations: int = option("Corrections evaluated before a row is dropped.", 3)
    structured_output: str = option(
        "response_format to ask the endpoint for.", "json_schema", ("json_schema", "json_object", "none")
    )
    batch_size: int = option("Batch of a model in this process.", 8)
    on_judge_failure: str = option(
        "When a question fails for good: end the run, to be resumed, or drop the row.", "stop", ("stop", "drop")
    )
    max_requests: int | None = option("Budget: most requests, over resumptions.", None)
    max_total_tokens: int | None = option("Budget: most tokens, over resumptions.", None)
    drop_duplicates: bool = option("Drop rows with the prompt and functions of an earlier one.", True)
    benchmark_questions: str | None = option(
        "Questions to keep out: 'bfcl' (installed), a folder of BFCL files, or a file of rows.", None
    )
    leak_threshold: float = option("Similarity from which a message counts as a benchmark question.", 0.7)
    leak_min_words: int = option("Fewest words of a question that counts as a leak.", MIN_WORDS)
    ast_evaluation: bool = option("Whether the AST evaluation follows.", True)
    call_needed: str | None = option(
        "Whether the queries need a call: 'always', 'never', or a column with true, false or null.", None
    )
    output_format: str = option("Format of the cleaned rows.", "parquet", ("parquet", "jsonl"))
    fsync: str = option(
        "When the journal is forced to disk, against a power failure: after each verdict, once a second, or never.",
        "always",
        ("always", "interval", "never"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 0, "max_regenerations")
        check_least(self, 1, "batch_size", "max_requests", "max_total_tokens", "leak_min_words")
        if not 0 < self.leak_threshold <= 1:
            raise ValueError(f"leak_threshold must be above 0 and at most 1, got {self.leak_threshold}.")
        if self.call_needed is not None and not self.ast_evaluation:
            raise ValueError("call_needed is read by the AST evaluation: leave ast_evaluation on.")
        if not self.output_dir:
            raise ValueError("output_dir must name a folder.")
