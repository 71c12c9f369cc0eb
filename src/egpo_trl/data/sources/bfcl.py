"""BFCL: question files with their possible answers. For evaluation; training on them is leakage."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...tool_calls.bfcl_matching import first_values
from .. import records
from ..records import Record, Unconvertible
from .conversation import Conversation, Row, make_row, tools_of
from .messages import add_messages

FIELDS = ("question", "function", "ground_truth")
RENAMED = {"messages": "question", "tools": "function", "answers": "ground_truth"}
PYTHON_CATEGORIES = (
    "simple_python", "simple", "multiple", "parallel", "parallel_multiple", "irrelevance", "live_simple",
    "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance",
)  # fmt: skip
REFERENCES = ("exact", "bfcl")
_FILE = re.compile(r"BFCL_v\d+_(\w+)\.json")


def recognise_path(name_or_path: str) -> str | None:
    """Why a folder is one of question files, `None` if it is not."""
    path = Path(name_or_path)
    found = path.is_dir() and any(_FILE.fullmatch(file.name) for file in path.iterdir())
    return "the folder has files BFCL_v*_<category>.json" if found else None


def read_records(
    name_or_path: str, split: str = "train", config: str | None = None, categories: Sequence[str] = PYTHON_CATEGORIES
) -> Iterator[Record | Unconvertible]:
    """Read the questions of a file, a folder or the Hub, each with its possible answer as `ground_truth`."""
    path = Path(name_or_path)
    if path.is_file():
        files = [path]
    else:
        if not path.is_dir():
            from huggingface_hub import snapshot_download

            path = Path(snapshot_download(name_or_path, repo_type="dataset", allow_patterns=["**BFCL_*.json"]))
        found = {match[1]: file for file in path.iterdir() if (match := _FILE.fullmatch(file.name))}
        files = [found[category] for category in categories if category in found]
        if not files:
            raise FileNotFoundError(f"{name_or_path!r} holds no BFCL question file of {', '.join(categories)}.")
    return (record for file in files for record in _join(file))


def _join(file: Path) -> Iterator[Record | Unconvertible]:
    answers: dict[Any, Any] = {}
    if (file.parent / "possible_answer" / file.name).is_file():
        for answer in records.read_records(str(file.parent / "possible_answer" / file.name)):
            if not isinstance(answer, Unconvertible) and isinstance(answer.get("id"), str):
                answers[answer["id"]] = answer.get("ground_truth")
    for record in records.read_records(str(file)):
        if not isinstance(record, Unconvertible) and isinstance(record.get("id"), str) and record["id"] in answers:
            record = {**record, "ground_truth": answers[record["id"]]}
        yield record


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    question = record.get("question")
    turns = isinstance(question, list) and bool(question) and isinstance(question[0], list)
    return "its `question` is a list of turns, and it has `function`" if turns and "function" in record else None


def convert_record(record: Mapping[str, Any], reference: str = "exact") -> list[Row]:
    """The row of a question, with the first acceptable values or all of them; see [`~egpo_trl.data.sources.convert`]."""
    if reference not in REFERENCES:
        raise ValueError(f"reference must be one of {REFERENCES}, got {reference!r}.")
    if record.get("function") is None:
        raise Unconvertible("function", "is missing: the entry needs BFCL's simulated environment")
    conversation = Conversation(tools_of(record, "function"), "question")
    question = record.get("question")
    if not isinstance(question, list) or len(question) != 1:
        raise Unconvertible("question", "must be a list of one turn")
    add_messages(conversation, question[0], calls_in_text=False)
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in conversation.tools}
    calls = [_call(answer, reference, schemas) for answer in _answers(record)]
    return [make_row(conversation.messages, conversation.tools_column, calls)]


def _answers(record: Mapping[str, Any]) -> list[Any]:
    answers = record.get("ground_truth")
    if answers is None:
        category = str(record.get("id"))
        if "irrelevance" in category:
            return []
        if "relevance" in category:
            raise Unconvertible("ground_truth", "is missing: BFCL takes any call for right here")
        raise Unconvertible("ground_truth", "is missing: is the folder possible_answer beside the question file?")
    if not isinstance(answers, list):
        raise Unconvertible("ground_truth", "must be a list of calls")
    return answers


def _call(answer: Any, reference: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(answer, Mapping) or len(answer) != 1:
        raise Unconvertible("ground_truth", "a call must be an object with one key, the name of the function")
    ((name, arguments),) = answer.items()
    if not isinstance(arguments, Mapping):
        raise Unconvertible("ground_truth", f"the arguments of {name!r} must be an object")
    if reference == "bfcl":
        return {"name": name, "arguments": dict(arguments)}
    return {"name": name, "arguments": first_values(arguments, schemas.get(name, {}))}


def questions(path: str | None = None) -> Iterator[tuple[str, str]]:
    """
    Questions of all categories, to look for them in training rows.

    Args:
        path (`str`, *optional*):
            Folder of question files; that of the installed package `bfcl-eval` by default.

    Returns:
        `Iterator[tuple[str, str]]`:
            Id and text of each user message.

    Raises:
        FileNotFoundError: If question files are missing.
    """
    folder = _installed_folder() if path is None else Path(path)
    files = sorted(file for file in folder.glob("BFCL_v*.json") if _FILE.fullmatch(file.name))
    if not files:
        raise FileNotFoundError(f"{str(folder)!r} holds no BFCL question file.")
    for file in files:
        for record in records.read_records(str(file)):
            turns = [] if isinstance(record, Unconvertible) else record.get("question")
            for turn in turns if isinstance(turns, list) else []:
                for message in turn if isinstance(turn, list) else []:
                    if message.get("role") == "user" and isinstance(message.get("content"), str):
                        yield str(record.get("id")), message["content"]  # type: ignore[union-attr]


def _installed_folder() -> Path:
    from importlib.util import find_spec

    spec = find_spec("bfcl_eval")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package bfcl-eval is not installed; give the folder of the question files.")
    return Path(spec.submodule_search_locations[0]) / "data"
