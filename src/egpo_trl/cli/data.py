"""`egpo-trl convert | clean | sft-data`."""

import argparse
import sys
from collections.abc import Sequence

from .parsing import one_message, parse


def convert(argv: Sequence[str] | None = None) -> None:
    """
    Convert a function-calling data set to canonical rows.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if the source is unknown or the data cannot be read.
    """
    from pathlib import Path

    from ..data.loading import ROW_FEATURES
    from ..data.sources import SOURCES
    from ..data.sources import convert as convert_rows
    from ..data.sources.bfcl import REFERENCES
    from ..utils.files import WholeFile

    parser = argparse.ArgumentParser("egpo-trl convert", description="Convert a function-calling data set to rows.")
    parser.add_argument("source", choices=sorted(SOURCES), help="format of the data, see docs/data.md")
    parser.add_argument("name", help="file, folder or data set on the Hub")
    parser.add_argument("--config", help="configuration of a data set on the Hub")
    parser.add_argument("--split", default="train", help="split of a data set on the Hub, or of a folder")
    parser.add_argument("--keep_system", choices=("true", "false"), help="keep system messages; depends on the source")
    parser.add_argument("--reference", choices=REFERENCES, help="bfcl: first acceptable values, or all of them")
    parser.add_argument("--categories", nargs="+", help="bfcl: categories of a folder")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.jsonl, .parquet)")
    options = parser.parse_args(argv)

    keep_system = {None: None, "true": True, "false": False}[options.keep_system]
    given = {"keep_system": keep_system, "reference": options.reference, "categories": options.categories}
    with one_message("convert"):
        conversion = convert_rows(
            options.name,
            options.source,
            split=options.split,
            config=options.config,
            on_skip=lambda skipped: print(f"skipped {skipped}", file=sys.stderr),
            **{name: value for name, value in given.items() if value is not None},
        )
        if options.output.suffix not in (".jsonl", ".parquet"):
            raise ValueError(f"output: {str(options.output)!r} must end in .jsonl or .parquet.")
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with WholeFile(options.output, ROW_FEATURES) as file:
            for row in conversion:
                file.write(row)
        skipped = ", ".join(f"{field} {count}" for field, count in conversion.skipped.most_common())
        print(
            f"{conversion.num_rows} rows from {conversion.num_records} records, {conversion.skipped.total()} skipped"
            f"{f' ({skipped})' if skipped else ''}: {options.output}"
        )


def clean(argv: Sequence[str] | None = None) -> None:
    """
    Clean canonical rows from a YAML config and flags. A run that was ended goes on when the command is given again.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a field is wrong, the budget is spent, or the judge fails for good.
    """
    from ..cleaning import CleaningConfig, CleaningStopped
    from ..cleaning import clean as clean_rows

    (config,) = parse("clean", (CleaningConfig,), argv)
    try:
        clean_rows(config, show_progress=True).print()
    except (ValueError, OSError, CleaningStopped) as error:
        raise SystemExit(f"egpo-trl clean: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("egpo-trl clean: interrupted; run the same command again to go on.") from None


def sft_data(argv: Sequence[str] | None = None) -> None:
    """
    Write canonical rows as conversations for SFT.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a row is malformed or a file does not exist.
    """
    from pathlib import Path

    from ..data.ast_evaluation import schema_problem
    from ..data.loading import load_rows
    from ..data.prompts import PROMPT_STYLES
    from ..data.rows import BAD_ROWS, BAD_ROWS_HELP
    from ..data.sft import NO_CALL_TEXT, SFT_FORMATS, Conversations, save_conversations

    parser = argparse.ArgumentParser(
        "egpo-trl sft-data", description="Write rows as conversations for TRL's SFTTrainer."
    )
    parser.add_argument("--dataset_name", required=True, help="rows, as for egpo-trl train")
    parser.add_argument("--dataset_config", help="configuration of a data set on the Hub")
    parser.add_argument("--split", default="train", help="split to write")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.parquet, .jsonl)")
    parser.add_argument("--sft_format", choices=SFT_FORMATS, default=SFT_FORMATS[0], help="columns to write")
    parser.add_argument("--prompt_style", choices=PROMPT_STYLES, default="native", help="how calls are written")
    parser.add_argument("--thought_column", help="column with a chain of thought for the answer")
    parser.add_argument("--no_call_text", default=NO_CALL_TEXT, help="answer where text is right and there is none")
    parser.add_argument("--tokenizer", help="model to train: write messages in the form that its chat template takes")
    parser.add_argument("--bad_rows", choices=BAD_ROWS, default="error", help=BAD_ROWS_HELP.replace("%", "%%"))
    options = parser.parse_args(argv)
    with one_message("sft-data"):
        rows = load_rows(options.dataset_name, options.dataset_config, options.split)
        renderer = None
        if options.tokenizer is not None:
            from transformers import AutoTokenizer

            from ..data.rendering import PromptRenderer

            renderer = PromptRenderer(AutoTokenizer.from_pretrained(options.tokenizer), options.prompt_style)
        writer = Conversations(
            renderer, options.sft_format, options.prompt_style, options.thought_column, options.no_call_text
        )
        conversations = writer.dataset(rows, options.dataset_name, (schema_problem,), options.bad_rows)
        save_conversations(conversations, options.output)
    print(f"{len(conversations):,} conversations: {options.output}")
