"""Canonical rows as conversations for TRL's `SFTTrainer`: the paper's baseline."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..prompts import template_messages

if TYPE_CHECKING:
    from datasets import Dataset

SFT_FORMATS = ("prompt_completion", "messages")
NO_CALL_TEXT = "None of the available functions can answer this request."


def assistant_message(
    row: Mapping[str, Any], thought: str | None = None, no_call_text: str = NO_CALL_TEXT
) -> dict[str, Any]:
    """
    The right answer of a row as an assistant message that a chat template renders in its own syntax.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row. Where its reference is empty, the text is its `answer` column, if it has one.
        thought (`str`, *optional*):
            Chain of thought, put into `reasoning_content`, which templates of thinking models render as think block.
        no_call_text (`str`, *optional*):
            Text where the reference is empty and the row has none.

    Returns:
        `dict`:
            Message with `content`, and with `tool_calls` where the answer is calls.
    """
    message: dict[str, Any] = {"role": "assistant"}
    if thought:
        message["reasoning_content"] = thought
    calls = json.loads(row["reference"])
    if not calls:
        return {**message, "content": row.get("answer") or no_call_text}
    return {**message, "content": "", "tool_calls": [{"type": "function", "function": call} for call in calls]}


def to_conversation(
    row: Mapping[str, Any],
    sft_format: str = "prompt_completion",
    thought_column: str | None = None,
    no_call_text: str = NO_CALL_TEXT,
) -> dict[str, Any]:
    """
    A row in the form that TRL's `SFTTrainer` takes.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row with messages as `prompt`.
        sft_format (`str`, *optional*, defaults to `"prompt_completion"`):
            `"prompt_completion"`: the answer alone is trained on. `"messages"`: one conversation, trained on as a whole
            unless `assistant_only_loss` is set.
        thought_column (`str`, *optional*):
            Column that holds a chain of thought for the answer.
        no_call_text (`str`, *optional*):
            See [`assistant_message`].

    Returns:
        `dict`:
            `prompt` and `completion`, or `messages`; and `tools`, the row's JSON string, which TRL hands to the chat
            template.

    Raises:
        ValueError: If the format is unknown, the prompt is a rendered string, or the column is missing.
    """
    if sft_format not in SFT_FORMATS:
        raise ValueError(f"sft_format must be one of {SFT_FORMATS}, got {sft_format!r}.")
    if isinstance(row["prompt"], str):
        raise ValueError(f"row {row.get('id')!r}: SFT needs messages, and this prompt is a rendered string.")
    if thought_column is not None and thought_column not in row:
        raise ValueError(f"thought_column: the rows have no column {thought_column!r}, only {sorted(row)}.")
    thought = row[thought_column] if thought_column is not None else None
    messages = template_messages(row["prompt"])
    prompt = [{key: value for key, value in message.items() if value is not None} for message in messages]
    answer = assistant_message(row, thought, no_call_text)
    tools = row.get("tools") or "[]"
    if sft_format == "messages":
        return {"messages": [*prompt, answer], "tools": tools}
    return {"prompt": prompt, "completion": [answer], "tools": tools}


def to_sft_dataset(
    rows: "Dataset",
    sft_format: str = "prompt_completion",
    thought_column: str | None = None,
    no_call_text: str = NO_CALL_TEXT,
) -> "Dataset":
    """
    Rows in the form that TRL's `SFTTrainer` takes, see [`to_conversation`].

    Messages are stored as JSON, since Arrow would give the arguments of all calls the same fields, filled with nulls.

    Args:
        rows ([`~datasets.Dataset`]):
            Canonical rows.
        sft_format (`str`, *optional*, defaults to `"prompt_completion"`):
            `"prompt_completion"` or `"messages"`.
        thought_column (`str`, *optional*):
            Column that holds a chain of thought for the answer.
        no_call_text (`str`, *optional*):
            See [`assistant_message`].

    Returns:
        [`~datasets.Dataset`]:
            Conversations, and the `id` and `source` of the rows that have them.

    Raises:
        ValueError: As [`to_conversation`], or if a row is malformed.
    """
    from datasets import Features, Json, List, Value

    from .rows import check_rows

    check_rows(rows, "the data set", ["prompt", "reference"])
    kept = [name for name in ("id", "source") if name in rows.column_names]
    columns = ("messages",) if sft_format == "messages" else ("prompt", "completion")
    features = {name: List(Json()) for name in columns} | {"tools": Value("string")}
    return rows.map(
        to_conversation,
        fn_kwargs={"sft_format": sft_format, "thought_column": thought_column, "no_call_text": no_call_text},
        remove_columns=[name for name in rows.column_names if name not in kept],
        features=Features({**features, **{name: rows.features[name] for name in kept}}),
        desc="Writing conversations",
    )


def save_conversations(conversations: "Dataset", path: Path) -> None:
    """
    Write conversations to a file.

    Args:
        conversations ([`~datasets.Dataset`]):
            From [`to_sft_dataset`].
        path (`Path`):
            `.parquet`, which keeps arguments as they are, or `.jsonl`, for tools that read one object a line.

    Raises:
        ValueError: If the suffix is another.
    """
    if path.suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"output: {str(path)!r} must end in .parquet or .jsonl.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        conversations.to_parquet(path)
        return
    with path.open("w", encoding="utf-8") as file:
        for row in conversations:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
