"""Reads API-Bank's calls to predict as canonical rows."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.json_schema import to_tools
from ...data.sources.conversation import Conversation, dump_json
from ...tool_calls.calls import ToolCall
from ..official.checkouts import read_json_lines

DIALOGUES = {1: "lv1-lv2-samples/level-1-given-desc", 2: "lv1-lv2-samples/level-2-toolsearcher"}
QUESTIONS = {1: "json_test_data/level-1-api.json", 2: "json_test_data/level-2-api.json"}
_UNSCORABLE = {
    "ToolSearcher": "tool_search",  # compares embeddings of a sentence encoder
    "Translate": "web",
    "Dictionary": "web",
    "SearchEngine": "web",  # needs NLTK's tokenizer data
}
CATEGORIES = ("calls", "web", "tool_search")
_API_MARK = "API descriptions:"
_YEAR = re.compile(r"\bcurrent year is (\d{4})\b")
_CALL_NAME = re.compile(r"\[(\w+)\(")


@dataclass(frozen=True)
class Question:
    """One call to predict."""

    file: str
    number: int
    instruction: str
    input: str
    expected: str
    history: Sequence[Mapping[str, Any]]

    @property
    def id(self) -> str:
        return f"{self.file.removesuffix('.jsonl')}_{self.number}"

    @property
    def function(self) -> str:
        found = _CALL_NAME.search(self.expected)
        return found[1] if found else ""

    @property
    def category(self) -> str:
        """`"calls"`, or for functions that cannot be scored here `"web"` or `"tool_search"`."""
        return _UNSCORABLE.get(self.function, "calls")


def read_questions(checkout: Path, level: int) -> list[Question]:
    path = checkout / QUESTIONS[level]
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}. Restore the file from the repository.") from None
    if not isinstance(records, list) or not records:
        raise ValueError(f"{path} must be a list of questions. Restore the file from the repository.")
    dialogues: dict[str, list[dict[str, Any]]] = {}
    questions = []
    kinds = {"file": str, "id": int, "instruction": str, "input": str, "expected_output": str}
    for position, record in enumerate(records):
        where = f"{path}, question {position}"
        fields = record if isinstance(record, dict) else {}
        wrong = next((key for key, kind in kinds.items() if not isinstance(fields.get(key), kind)), None)
        if wrong is not None:
            raise ValueError(f"{where}: field {wrong!r} is missing or of the wrong type.")
        file = checkout / DIALOGUES[level] / Path(record["file"]).name
        if file.name not in dialogues:
            if not file.is_file():
                raise ValueError(f"{where}: its dialogue {file} is missing. Restore it from the repository.")
            dialogues[file.name] = read_json_lines(file)
        questions.append(
            Question(
                file.name, record["id"], record["instruction"], record["input"], record["expected_output"],
                _history(dialogues[file.name], record["id"], where),
            )
        )  # fmt: skip
    questions.sort(key=lambda question: (question.file, question.number))
    if len({question.id for question in questions}) < len(questions):
        raise ValueError(f"{path} asks a question twice. Restore the file from the repository.")
    return questions


def _history(dialogue: Sequence[Mapping[str, Any]], number: int, where: str) -> Sequence[Mapping[str, Any]]:
    """The turns before a sample: the even sample of a call is the call, the odd one what follows it."""
    calls = [position for position, turn in enumerate(dialogue) if turn.get("role") == "API"]
    if not 0 <= number < 2 * len(calls):
        raise ValueError(f"{where}: its dialogue does not contain sample {number}.")
    end = calls[number // 2] + number % 2
    if end >= len(dialogue) or dialogue[end].get("role") != "API":
        raise ValueError(f"{where}: sample {number} of its dialogue is not a call.")
    return dialogue[:end]


def make_row(question: Question) -> dict[str, Any]:
    """The canonical row of a question: the dialogue as messages, and a user message that asks for the call."""
    tools = to_tools(_functions(question.instruction))
    conversation = Conversation(tools, "dialogue")
    year = _YEAR.search(question.instruction)
    if year:
        conversation.add_text("system", f"It is the year {year[1]}.")
    for turn in question.history:
        if turn["role"] == "API":
            conversation.add_calls([ToolCall(turn["api_name"], turn["param_dict"])])
            conversation.add_result(turn["result"]["output"], turn["api_name"])
        else:
            conversation.add_text("user" if turn["role"] == "User" else "assistant", turn["text"])
    if conversation.messages[-1]["role"] != "user":
        conversation.add_text("user", "Now make the call that comes next.")
    return {"id": question.id, "prompt": conversation.messages, "tools": dump_json(tools)}


def make_official_row(question: Question) -> dict[str, Any]:
    """The row with the official instruction, which lists the functions, as system message."""
    prompt = [{"role": "system", "content": question.instruction}, {"role": "user", "content": question.input}]
    return {"id": question.id, "prompt": prompt, "tools": "[]"}


def _functions(instruction: str) -> list[dict[str, Any]]:
    described = instruction.partition(_API_MARK)[2].strip()
    if not described:
        raise ValueError("the instruction describes no function")
    functions = []
    for line in described.splitlines():
        function = json.loads(line)
        parameters = {
            name: {**schema, "required": "[optional" not in str(schema.get("description", "")).lower()}
            for name, schema in function["input_parameters"].items()
        }
        functions.append({"name": function["name"], "description": function["description"], "parameters": parameters})
    return functions


def write_api_calls(calls: Iterable[ToolCall]) -> str:
    """Write calls as API-Bank's prompt asks for them: every value in quotes, except lists."""
    written = []
    for call in calls:
        values = {key: value if isinstance(value, list) else f"'{value}'" for key, value in call.arguments.items()}
        written.append(f"{call.name}({', '.join(f'{key}={value}' for key, value in values.items())})")
    return f"[{', '.join(written)}]"
