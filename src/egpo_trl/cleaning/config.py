"""The fields of a cleaning run."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..data.leaks import MIN_WORDS
from ..demo.names import DEMO
from ..sampling.config import EndpointConfig, check_choices, check_least

BACKENDS = ("openai", "transformers", "vllm", "none")
STRUCTURED_OUTPUTS = ("json_schema", "json_object", "none")
OUTPUT_FORMATS = ("parquet", "jsonl")
FSYNC_POLICIES = ("always", "interval", "never")
FAILURE_POLICIES = ("stop", "drop")


@dataclass(kw_only=True)
class CleaningConfig(EndpointConfig):
    """Configuration of [`clean`] and of `egpo-trl clean`."""

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
        metadata={
            "help": "'openai' (an endpoint), 'transformers' or 'vllm' (in this process), 'none' (AST evaluation only).",
            "choices": BACKENDS,
        },
    )
    judge_model: str | None = field(default=None, metadata={"help": "Model that judges."})
    system_prompt_file: str | None = field(default=None, metadata={"help": "Text file: the judge's system message."})
    user_prompt_file: str | None = field(
        default=None, metadata={"help": "Text file: the user message, with $conversation, $tools and $answer."}
    )
    max_regenerations: int = field(default=3, metadata={"help": "Corrections evaluated before a row is dropped."})
    max_tokens: int = field(default=1024, metadata={"help": "Longest reply of the judge, in tokens."})
    judge_seed: int = field(default=0, metadata={"help": "Seed of the judge."})
    structured_output: str = field(
        default="json_schema",
        metadata={"help": "response_format to ask the endpoint for.", "choices": STRUCTURED_OUTPUTS},
    )
    judge_batch_size: int = field(default=8, metadata={"help": "Batch of a model in this process."})
    on_judge_failure: str = field(
        default="stop",
        metadata={
            "help": "When a question fails for good: end the run, to be resumed, or drop the row.",
            "choices": FAILURE_POLICIES,
        },
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
    leak_threshold: float = field(
        default=0.7, metadata={"help": "Similarity from which a message counts as a benchmark question."}
    )
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
        metadata={
            "help": "When the journal is forced to disk: after each verdict, at most once a second, or never. Only a power "
            "failure makes a difference.",
            "choices": FSYNC_POLICIES,
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(
            self, judge_backend=BACKENDS, structured_output=STRUCTURED_OUTPUTS, fsync=FSYNC_POLICIES,
            output_format=OUTPUT_FORMATS, on_judge_failure=FAILURE_POLICIES,
        )  # fmt: skip
        check_least(self, 0, "max_regenerations")
        check_least(self, 1, "max_tokens", "judge_batch_size", "max_requests", "max_total_tokens", "leak_min_words")
        if not 0 < self.leak_threshold <= 1:
            raise ValueError(f"leak_threshold must be above 0 and at most 1, got {self.leak_threshold}.")
        if self.call_needed is not None and not self.ast_evaluation:
            raise ValueError("call_needed is looked at by the AST evaluation: leave ast_evaluation on.")
        if not self.output_dir:
            raise ValueError("output_dir must name a folder.")

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, for the manifest."""
        return dataclasses.asdict(self)
