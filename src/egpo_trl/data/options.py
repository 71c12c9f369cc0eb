"""Defines the options of every command that reads rows."""

from dataclasses import dataclass

from ..demo.names import DEMO
from ..utils.options import option
from .prompts import PROMPT_STYLES
from .rows import BAD_ROWS, BAD_ROWS_HELP

_ROWS = "A file (.jsonl, .json, .parquet, .csv), a folder, a data set on the Hub, 'demo' or 'demo-multiturn'."


@dataclass(kw_only=True)
class RowsOptions:
    """Where the rows are."""

    dataset_name: str = option(_ROWS)
    dataset_config: str | None = option("Configuration of a data set on the Hub.", None)
    dataset_split: str = option("Split of the rows.", "train")


@dataclass(kw_only=True)
class DemoOrRowsOptions(RowsOptions):
    """Where the rows are; those of an embedded world if nothing else is named."""

    dataset_name: str = option(_ROWS, DEMO)
    num_demo_rows: int = option("Rows that an embedded world makes up.", 4000)


@dataclass(kw_only=True)
class ConversationOptions:
    """How the right answers of rows become conversations for SFT."""

    prompt_style: str = option(
        "'native': the chat template renders the tools. 'paper': a system message lists them.", "native", PROMPT_STYLES
    )
    thought_column: str | None = option("Column with a chain of thought for the answer.", None)
    no_call_text: str | None = option("Answer where text is right and the row does not contain one.", None)
    write_thoughts: bool = option(
        "Write a thought that names the functions and values of the answer, where a row has none.", False
    )
    bad_rows: str = option(BAD_ROWS_HELP, "error", BAD_ROWS)
