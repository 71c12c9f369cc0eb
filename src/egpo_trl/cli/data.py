"""Runs `egpo-trl convert | tools | clean | split | sft-data`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from .failure import INTERRUPTED, WRONG_USAGE, Failure, one_message
from .parsing import Call, number_type


def _rows_file(text: str) -> Path:
    """Type of an option that takes a file of rows."""
    if Path(text).suffix not in (".jsonl", ".parquet"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .jsonl or .parquet.")
    return Path(text)


def convert_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl convert`."""
    from transformers.hf_argparser import string_to_bool

    from ..data.sources import FIELD_OPTIONS, SOURCES
    from ..data.sources.bfcl import REFERENCES

    parser.add_argument(
        "--output", metavar="FILE", type=_rows_file, required=True, help="file to write (.jsonl, .parquet)"
    )
    parser.add_argument(
        "--source", metavar="NAME", choices=sorted(SOURCES),
        help="format, if it cannot be detected, such as " + ", ".join(sorted(SOURCES)[:4]),
    )  # fmt: skip
    for field in FIELD_OPTIONS:
        parser.add_argument(f"--{field}_field", metavar="NAME", help=f"field that holds the {field}")
    parser.add_argument("--tools", metavar="FILE", help="functions for records without any, as egpo-trl tools writes")
    parser.add_argument("--keep_system", type=string_to_bool, help="keep system messages; depends on the source")
    parser.add_argument("--reference", choices=REFERENCES, help="bfcl: first acceptable values, or all of them")
    parser.add_argument("--categories", metavar="NAME", nargs="+", help="bfcl: categories of a folder")
    parser.add_argument("--catalogue", metavar="FILE", help="seal_tools: file with all functions")
    parser.add_argument(
        "--num_tools", metavar="N", type=number_type(int, 1), help="seal_tools: functions that a row offers"
    )
    parser.add_argument("--stated_only", action="store_true", default=None, help="seal_tools: skip unstated values")
    parser.add_argument(
        "--no_call_share", metavar="X", type=float, help="seal_tools: share repeated with other functions"
    )


def convert(call: Call) -> None:
    """Convert a function-calling data set to canonical rows."""
    from ..data.converting import write_conversion
    from ..data.records import UnknownOption
    from ..data.sources import FIELD_OPTIONS, UnknownFormat
    from ..data.sources import convert as convert_rows

    options = call.options
    named = {field: getattr(options, f"{field}_field") for field in FIELD_OPTIONS}
    sources = ("keep_system", "reference", "categories", "catalogue", "num_tools", "stated_only", "no_call_share")
    given = {name: getattr(options, name) for name in sources}
    with one_message("convert"):
        try:
            conversion = convert_rows(
                options.dataset_name,
                options.source,
                split=options.dataset_split,
                config=options.dataset_config,
                fields={field: name for field, name in named.items() if name},
                tools=options.tools,
                on_skip=lambda skipped: print(f"skipped {skipped}", file=sys.stderr),
                **{name: value for name, value in given.items() if value is not None},
            )
            print("format:", "; ".join(f"{source}: {why}" for source, why in conversion.found.items()))
            print(write_conversion(conversion, options.output))
        except (UnknownFormat, UnknownOption) as error:
            raise Failure(f"egpo-trl convert: {error}", WRONG_USAGE) from None


def tools_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl tools`."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--mcp", metavar="COMMAND", help="command that starts an MCP server, or its address")
    where.add_argument("--openapi", metavar="FILE", help="OpenAPI document (JSON or YAML), or its address")
    parser.add_argument("--output", metavar="FILE", type=Path, help="JSON file to write; default: the terminal")


def tools(call: Call) -> None:
    """Write the functions of an MCP server or of an OpenAPI document as schemas."""
    import json

    from ..tools import read_schemas
    from ..utils.files import write_json

    options = call.options
    with one_message("tools"):
        schemas = read_schemas(options.mcp, options.openapi)
        if options.output is None:
            print(json.dumps(schemas, ensure_ascii=False, indent=2))
        else:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_json(schemas, options.output)
            print(f"{len(schemas)} functions: {options.output}")


def clean(call: Call) -> None:
    """Clean canonical rows; a run that was ended continues when the command is given again."""
    from ..cleaning import CleaningConfig, CleaningStopped
    from ..cleaning import clean as clean_rows

    (config,) = call.build(CleaningConfig)
    try:
        with one_message("clean"):
            clean_rows(config, show_progress=sys.stderr.isatty()).print()
    except CleaningStopped as error:
        raise Failure(f"egpo-trl clean: {error}") from error
    except KeyboardInterrupt:
        raise Failure("egpo-trl clean: interrupted; run the same command again to continue.", INTERRUPTED) from None


def split_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl split`."""
    parser.add_argument(
        "--validation_share",
        metavar="X",
        type=number_type(float, 0, 1),
        default=0.05,
        help="share of the rows to hold out",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the choice")
    parser.add_argument(
        "--output_dir", metavar="FOLDER", type=Path, required=True, help="folder for train.jsonl and held_out.jsonl"
    )


def split(call: Call) -> None:
    """Split rows by prompt into two files: rows with the same prompt stay together."""
    from ..data.loading import load_rows, split_by_prompt
    from ..runs.held_out import HELD_OUT_FILE, few_rows_warning
    from ..utils.files import write_rows

    options = call.options
    with one_message("split"):
        rows = load_rows(options.dataset_name, options.dataset_config, options.dataset_split)
        parts = split_by_prompt(rows, options.validation_share, options.seed)
        paths = [options.output_dir / name for name in ("train.jsonl", HELD_OUT_FILE)]
        for path, part in zip(paths, parts, strict=True):
            write_rows(part, path, part.features)
            print(f"{len(part):,} rows: {path}")
        for warning in few_rows_warning(len(parts[1])):
            print(f"note: {warning}")


def sft_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl sft-data`."""
    from ..data.sft import SFT_FORMATS

    parser.add_argument(
        "--output", metavar="FILE", type=_rows_file, required=True, help="file to write (.parquet, .jsonl)"
    )
    parser.add_argument("--sft_format", choices=SFT_FORMATS, default=SFT_FORMATS[0], help="columns to write")
    parser.add_argument(
        "--model_name_or_path",
        metavar="MODEL",
        help="model to train: messages in the form that its chat template takes",
    )


def sft_data(call: Call) -> None:
    """Write canonical rows as conversations for SFT."""
    from ..data.ast_evaluation import schema_problem
    from ..data.loading import load_rows
    from ..data.sft import NO_CALL_TEXT, Conversations, save_conversations

    options: Any = call.options
    with one_message("sft-data"):
        rows = load_rows(options.dataset_name, options.dataset_config, options.dataset_split)
        renderer = None
        if options.model_name_or_path is not None:
            from ..data.rendering import PromptRenderer
            from ..demo.names import model_folder
            from ..sampling.config import SamplingConfig
            from ..sampling.models import load_tokenizer

            sampling = SamplingConfig(model_name_or_path=options.model_name_or_path)
            tokenizer = load_tokenizer(sampling, model_folder(options.model_name_or_path))
            renderer = PromptRenderer(tokenizer, options.prompt_style)
        writer = Conversations(
            renderer, options.sft_format, options.prompt_style, options.thought_column,
            options.no_call_text or NO_CALL_TEXT, options.write_thoughts,
        )  # fmt: skip
        conversations = writer.dataset(rows, options.dataset_name, (schema_problem,), options.bad_rows)
        save_conversations(conversations, options.output)
    print(f"{len(conversations):,} conversations: {options.output}")
