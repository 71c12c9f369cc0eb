"""`egpo-trl convert | tools | clean | sft-data`."""

import argparse
import sys
from collections.abc import Sequence

from .parsing import one_message, parse


def convert(argv: Sequence[str] | None = None) -> None:
    """Convert a function-calling data set to canonical rows; exit code 2 where its format is not known."""
    from pathlib import Path

    from ..data.converting import describe, write_rows
    from ..data.sources import FIELD_OPTIONS, SOURCES, UnknownFormat
    from ..data.sources import convert as convert_rows
    from ..data.sources.bfcl import REFERENCES

    parser = argparse.ArgumentParser("egpo-trl convert", description="Convert a function-calling data set to rows.")
    parser.add_argument("name", metavar="DATA", help="file, folder or data set on the Hub")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.jsonl, .parquet)")
    parser.add_argument("--source", metavar="NAME", choices=sorted(SOURCES), help=f"format: {', '.join(SOURCES)}")
    parser.add_argument("--dataset_config", help="configuration of a data set on the Hub")
    parser.add_argument("--split", default="train", help="split of a data set on the Hub, or of a folder")
    for field in FIELD_OPTIONS:
        parser.add_argument(f"--{field}_field", metavar="NAME", help=f"field that holds the {field}")
    parser.add_argument("--tools", metavar="FILE", help="functions for records without any, as egpo-trl tools writes")
    parser.add_argument("--keep_system", choices=("true", "false"), help="keep system messages; depends on the source")
    parser.add_argument("--reference", choices=REFERENCES, help="bfcl: first acceptable values, or all of them")
    parser.add_argument("--categories", nargs="+", help="bfcl: categories of a folder")
    parser.add_argument("--catalogue", metavar="FILE", help="seal_tools: file with all functions")
    parser.add_argument("--num_tools", type=int, help="seal_tools: functions that a row offers")
    parser.add_argument("--stated_only", action="store_true", default=None, help="seal_tools: skip unstated values")
    options = parser.parse_args(argv)

    named = {field: getattr(options, f"{field}_field") for field in FIELD_OPTIONS}
    given = {
        name: getattr(options, name) for name in ("reference", "categories", "catalogue", "num_tools", "stated_only")
    } | {"keep_system": {None: None, "true": True, "false": False}[options.keep_system]}
    with one_message("convert"):
        try:
            conversion = convert_rows(
                options.name,
                options.source,
                split=options.split,
                config=options.dataset_config,
                fields={field: name for field, name in named.items() if name},
                tools=options.tools,
                on_skip=lambda skipped: print(f"skipped {skipped}", file=sys.stderr),
                **{name: value for name, value in given.items() if value is not None},
            )
            print(f"format: {describe(conversion)}")
        except UnknownFormat as error:
            print(f"egpo-trl convert: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        print(write_rows(conversion, options.output))


def tools(argv: Sequence[str] | None = None) -> None:
    """Write the functions of an MCP server or of an OpenAPI document as schemas."""
    import json
    from pathlib import Path

    from ..tools import read_schemas
    from ..utils.files import write_json

    parser = argparse.ArgumentParser("egpo-trl tools", description="Functions as schemas, for rows and training.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--mcp", metavar="COMMAND", help="command that starts an MCP server, or its address")
    where.add_argument("--openapi", metavar="FILE", help="OpenAPI document (JSON or YAML), or its address")
    parser.add_argument("--output", type=Path, help="JSON file to write; default: the terminal")
    options = parser.parse_args(argv)
    with one_message("tools"):
        schemas = read_schemas(options.mcp, options.openapi)
        if options.output is None:
            print(json.dumps(schemas, ensure_ascii=False, indent=2))
        else:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_json(schemas, options.output)
            print(f"{len(schemas)} functions: {options.output}")


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

    from ..data.loading import load_rows
    from ..data.prompts import PROMPT_STYLES
    from ..data.sft import NO_CALL_TEXT, SFT_FORMATS, save_conversations, to_sft_dataset

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
    options = parser.parse_args(argv)
    with one_message("sft-data"):
        rows = load_rows(options.dataset_name, options.dataset_config, options.split)
        conversations = to_sft_dataset(
            rows, options.sft_format, options.thought_column, options.no_call_text, options.prompt_style
        )
        save_conversations(conversations, options.output)
    print(f"{len(conversations):,} conversations: {options.output}")
