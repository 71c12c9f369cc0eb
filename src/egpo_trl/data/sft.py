"""Canonical rows as conversations for TRL's `SFTTrainer`: the paper's baseline."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tool_calls.calls import parse_reference
from ..tool_calls.named_calls import write_calls
from .prompts import template_messages, to_messages

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

SFT_FORMATS = ("prompt_completion", "messages")
NO_CALL_TEXT = "None of the available functions can answer this request."


def lacks_answer(row: Mapping[str, Any]) -> bool:
    """
    Whether the right answer of a row is a text that nobody knows: its reference and its `answer` are empty, and it answers
    no user, so that a sentence which declines would be wrong.
    """
    if (row.get("answer") or "").strip() or json.loads(row["reference"]):
        return False
    return not isinstance(row["prompt"], str) and row["prompt"][-1]["role"] != "user"


def assistant_message(
    row: Mapping[str, Any],
    thought: str | None = None,
    no_call_text: str = NO_CALL_TEXT,
    prompt_style: str = "native",
    think_tags: tuple[str, str] = ("<think>", "</think>"),
) -> dict[str, Any]:
    """
    The right answer of a row as an assistant message.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row. Where its reference is empty, the text is its `answer` column, if it has one.
        thought (`str`, *optional*):
            Chain of thought. In the native style it is put into `reasoning_content`, which templates of thinking models
            render as think block; in the paper's it stands in the text, between the tags.
        no_call_text (`str`, *optional*):
            Text where the reference is empty and the row has none.
        prompt_style (`str`, *optional*, defaults to `"native"`):
            `"native"`: calls stand in `tool_calls`, which the chat template renders in its own syntax. `"paper"`: calls
            are text, `[f(a=1)]`.
        think_tags (`tuple[str, str]`, *optional*, defaults to `("<think>", "</think>")`):
            Tags of the paper's style.

    Returns:
        `dict`:
            Message with `content`, and in the native style with `tool_calls` where the answer is calls.

    Raises:
        ValueError: If the text is not known and `no_call_text` would be wrong, see [`lacks_answer`].
    """
    if lacks_answer(row):
        raise ValueError(
            f"row {row.get('id')!r}: the right answer is a text, and the column 'answer' does not hold it."
        )
    calls = parse_reference(row["reference"])
    text = row.get("answer") or ""
    text = "" if calls else text if text.strip() else no_call_text
    if prompt_style == "paper":
        block = f"{think_tags[0]}{thought}{think_tags[1]}\n" if thought else ""
        return {"role": "assistant", "content": block + (write_calls(calls) if calls else text)}
    message: dict[str, Any] = {"role": "assistant"}
    if thought:
        message["reasoning_content"] = thought
    written = [{"type": "function", "function": call._asdict()} for call in calls]
    return {**message, "content": text, **({"tool_calls": written} if calls else {})}


def to_conversation(
    row: Mapping[str, Any],
    sft_format: str = "prompt_completion",
    thought_column: str | None = None,
    no_call_text: str = NO_CALL_TEXT,
    prompt_style: str = "native",
    think_tags: tuple[str, str] = ("<think>", "</think>"),
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
        prompt_style (`str`, *optional*, defaults to `"native"`):
            Style of the prompt, see [`~egpo_trl.data.prompts.to_messages`], and of the answer.
        think_tags (`tuple[str, str]`, *optional*, defaults to `("<think>", "</think>")`):
            Tags of the paper's style.

    Returns:
        `dict`:
            `prompt` and `completion`, or `messages`; and in the native style `tools`, the row's JSON string, which TRL
            hands to the chat template.

    Raises:
        ValueError: If the format or the style is unknown, the prompt is a rendered string, the column is missing, or as
            [`assistant_message`].
    """
    if sft_format not in SFT_FORMATS:
        raise ValueError(f"sft_format must be one of {SFT_FORMATS}, got {sft_format!r}.")
    if isinstance(row["prompt"], str):
        raise ValueError(f"row {row.get('id')!r}: SFT needs messages, and this prompt is a rendered string.")
    if thought_column is not None and thought_column not in row:
        raise ValueError(f"thought_column: the rows have no column {thought_column!r}, only {sorted(row)}.")
    thought = row[thought_column] if thought_column is not None else None
    messages = template_messages(to_messages(row, prompt_style, think_tags))
    prompt = [{key: value for key, value in message.items() if value is not None} for message in messages]
    answer = assistant_message(row, thought, no_call_text, prompt_style, think_tags)
    tools = {"tools": row.get("tools") or "[]"} if prompt_style == "native" else {}
    if sft_format == "messages":
        return {"messages": [*prompt, answer], **tools}
    return {"prompt": prompt, "completion": [answer], **tools}


def to_sft_dataset(
    rows: "Dataset",
    sft_format: str = "prompt_completion",
    thought_column: str | None = None,
    no_call_text: str = NO_CALL_TEXT,
    prompt_style: str = "native",
    think_tags: tuple[str, str] = ("<think>", "</think>"),
) -> "Dataset":
    """
    Rows in the form that TRL's `SFTTrainer` takes, see [`to_conversation`]. Rows whose right answer is not known are left
    out with a warning, see [`lacks_answer`].

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
        prompt_style (`str`, *optional*, defaults to `"native"`):
            `"native"` or `"paper"`.
        think_tags (`tuple[str, str]`, *optional*, defaults to `("<think>", "</think>")`):
            Tags of the paper's style.

    Returns:
        [`~datasets.Dataset`]:
            Conversations, and the `id` and `source` of the rows that have them.

    Raises:
        ValueError: As [`to_conversation`], or if a row is malformed or none is left.
    """
    from datasets import Features, Json, List, Value

    from .rows import check_rows

    check_rows(rows, "the data set", ["prompt", "reference", *({"answer"} & set(rows.column_names))])
    known = rows.filter(lambda row: not lacks_answer(row), desc="Looking for answers")
    if len(known) < len(rows):
        logger.warning(
            "%d of %d rows are left out: their right answer is a text behind a tool result, and the column 'answer' does "
            "not hold it.", len(rows) - len(known), len(rows),
        )  # fmt: skip
    if not len(known):
        raise ValueError("no row has an answer to train on: see the column 'answer' in docs/data.md.")
    kept = [name for name in ("id", "source") if name in rows.column_names]
    columns = ("messages",) if sft_format == "messages" else ("prompt", "completion")
    features = {name: List(Json()) for name in columns}
    if prompt_style == "native":
        features["tools"] = Value("string")
    return known.map(
        to_conversation,
        fn_kwargs={
            "sft_format": sft_format,
            "thought_column": thought_column,
            "no_call_text": no_call_text,
            "prompt_style": prompt_style,
            "think_tags": think_tags,
        },
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
