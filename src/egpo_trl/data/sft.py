"""Writes canonical rows as conversations for TRL's `SFTTrainer`: the paper's baseline."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tool_calls.calls import ToolCall, parse_reference, parse_row_tools
from ..tool_calls.named_calls import write_calls
from ..utils.files import write_json_lines
from .prompts import DEFAULT_THINK_TAGS, PROMPT_STYLES, to_messages
from .rows import Check, Problem, check_rows
from .template_form import in_form

if TYPE_CHECKING:
    from datasets import Dataset

    from .rendering import PromptRenderer

logger = logging.getLogger(__name__)

SFT_FORMATS = ("prompt_completion", "messages")
NO_CALL_TEXT = "None of the available functions can answer this request."


def lacks_answer(row: Mapping[str, Any]) -> bool:
    """Whether the right answer of a row is a text that is not known: it follows no user message, and `answer` is empty."""
    if (row.get("answer") or "").strip() or json.loads(row["reference"]):
        return False
    return not isinstance(row["prompt"], str) and row["prompt"][-1]["role"] != "user"


def assistant_message(
    row: Mapping[str, Any],
    thought: str | None = None,
    no_call_text: str = NO_CALL_TEXT,
    style: str = "native",
    think_tags: Sequence[str] = DEFAULT_THINK_TAGS,
) -> dict[str, Any]:
    """The right answer of a row as a message: with `tool_calls` in the native style, as text in the paper's."""
    if lacks_answer(row):
        raise ValueError(
            f"row {row.get('id')!r}: the right answer is a text, and the column 'answer' does not hold it."
        )
    calls = parse_reference(row["reference"])
    text = row.get("answer") or ""
    text = "" if calls else text if text.strip() else no_call_text
    if style == "paper":
        block = f"{think_tags[0]}{thought}{think_tags[1]}\n" if thought else ""
        return {"role": "assistant", "content": block + (write_calls(calls) if calls else text)}
    message: dict[str, Any] = {"role": "assistant"}
    if thought:
        message["reasoning_content"] = thought
    written = [{"type": "function", "function": call._asdict()} for call in calls]
    return {**message, "content": text, **({"tool_calls": written} if calls else {})}


def written_thought(calls: Sequence[ToolCall]) -> str:
    """A chain of thought that names the functions and the values of calls, for rows without a thought of their own."""
    parts = [
        f"{name} with {', '.join(f'{key} {value!r}' for key, value in a.items()) or 'nothing'}" for name, a in calls
    ]
    return f"The request needs {', then '.join(parts)}." if parts else "None of the functions fits the request."


@dataclass(frozen=True)
class Conversations:
    """Writes rows as conversations for TRL's `SFTTrainer`."""

    renderer: "PromptRenderer | None" = None
    sft_format: str = SFT_FORMATS[0]
    prompt_style: str = "native"
    thought_column: str | None = None
    no_call_text: str = NO_CALL_TEXT
    write_thoughts: bool = False

    def __post_init__(self) -> None:
        if self.sft_format not in SFT_FORMATS:
            raise ValueError(f"sft_format must be one of {SFT_FORMATS}, got {self.sft_format!r}.")
        if self.style not in PROMPT_STYLES:
            raise ValueError(f"prompt_style must be one of {PROMPT_STYLES}, got {self.style!r}.")

    @property
    def style(self) -> str:
        return self.prompt_style if self.renderer is None else self.renderer.style

    def answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(row["prompt"], str):
            raise ValueError(f"row {row.get('id')!r}: SFT needs messages, and this prompt is a rendered string.")
        if self.thought_column is not None and self.thought_column not in row:
            raise ValueError(
                f"thought_column: the rows lack the column {self.thought_column!r}; they have {sorted(row)}."
            )
        thought = None if self.thought_column is None else row[self.thought_column]
        if self.write_thoughts and not thought:
            thought = written_thought(parse_reference(row["reference"]))
        tags = DEFAULT_THINK_TAGS if self.renderer is None else self.renderer.think_tags
        return assistant_message(row, thought, self.no_call_text, self.style, tags)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A conversation, as `prompt` and `completion` or as `messages`; in the native style with the row's `tools`."""
        answer = self.answer(row)
        kwargs = {}
        if self.renderer is None:
            written = in_form([*to_messages(row, self.style), answer])
            prompt, completion = written[:-1], written[-1:]
        else:
            prompt, completion = self.renderer.conversation(row, answer)
            kwargs = {"chat_template_kwargs": self.renderer.kwargs} if self.renderer.kwargs else {}
        tools = (
            {"tools": row["tools"] if parse_row_tools(row.get("tools")) else None} if self.style == "native" else {}
        )
        if self.sft_format == "messages":
            return {"messages": [*prompt, *completion], **tools, **kwargs}
        return {"prompt": prompt, "completion": completion, **tools, **kwargs}

    def problem(self, row: Mapping[str, Any]) -> Problem | None:
        """What is wrong with a row: its text is lost in the chat template, or its answer is."""
        answer = self.answer(row)
        return None if self.renderer is None else self.renderer.problem(row, self.renderer.tools_of(row), answer)

    def target(self, row: Mapping[str, Any]) -> str:
        """What the chat template writes for the answer of a row."""
        assert self.renderer is not None
        return self.renderer.target(*self.renderer.conversation(row, self.answer(row)), self.renderer.tools_of(row))

    def dataset(
        self, rows: "Dataset", name: str = "the data set", checks: Sequence[Check] = (), bad_rows: str = "error"
    ) -> "Dataset":
        """Rows with a known answer as conversations; messages are stored as JSON, since Arrow would pad arguments."""
        from datasets import Features, Json, List, Value

        columns = rows.column_names
        if self.renderer is not None and "tools" in columns:
            self.renderer.check_template()
        if self.thought_column is not None and self.thought_column not in columns:
            raise ValueError(f"thought_column: the rows lack the column {self.thought_column!r}; they have {columns}.")
        required = ["prompt", "reference", *({"answer"} & set(columns))]
        whole = check_rows(rows, name, required, (), bad_rows)
        known = whole.filter(lambda row: not lacks_answer(row), desc="Looking for answers")
        if len(known) < len(whole):
            logger.warning(
                "%d of %d rows are left out: their right answer is a text that follows a tool result, and the column "
                "'answer' does not hold it.", len(whole) - len(known), len(whole),
            )  # fmt: skip
        if not len(known):
            raise ValueError("no row has an answer to train on: see the column 'answer' in docs/data.md.")
        read = {"prompt", "tools", "reference", "answer", self.thought_column or "prompt"}
        known = check_rows(known, name, required, (self.problem, *checks), bad_rows, read)
        kept = [one for one in ("id", "source") if one in columns]
        parts = ("messages",) if self.sft_format == "messages" else ("prompt", "completion")
        features = {part: List(Json()) for part in parts}
        if self.style == "native":
            features["tools"] = Value("string")
        if self.renderer is not None and self.renderer.kwargs:
            features["chat_template_kwargs"] = Json()
        return known.map(
            self,
            remove_columns=[one for one in columns if one not in kept],
            features=Features({**features, **{one: rows.features[one] for one in kept}}),
            desc="Writing conversations",
        )


def save_conversations(conversations: "Dataset", path: Path) -> None:
    """Write conversations as `.parquet`, which keeps arguments as they are, or as `.jsonl`, one object a line."""
    if path.suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"output: {str(path)!r} must end in .parquet or .jsonl.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        conversations.to_parquet(path)
    else:
        write_json_lines(conversations, path)
