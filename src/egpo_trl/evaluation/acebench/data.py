"""Reads ACEBench's entries as canonical rows, with the prompts of its inference code."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...data.json_schema import to_tools
from ...data.sources.conversation import Conversation, dump_json
from ...tool_calls.calls import ToolCall
from ...tool_calls.named_calls import read_named_calls, write_calls
from ..official.checkouts import read_json_lines

LANGUAGES = ("en", "zh")
ATOM = tuple(f"normal_atom_{kind}" for kind in ("bool", "enum", "number", "list", "object_deep", "object_short"))
SINGLE_TURN = ("normal_single_turn_single_function", "normal_single_turn_parallel_function")
MULTI_TURN = ("normal_multi_turn_user_adjust", "normal_multi_turn_user_switch")
NORMAL = (*SINGLE_TURN, *MULTI_TURN, "normal_similar_api", "normal_preference", *ATOM)
SPECIAL = ("special_incomplete", "special_error_param", "special_irrelevant")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "normal": NORMAL,
    "special": SPECIAL,
    "atom": ATOM,
    "single_turn": SINGLE_TURN,
    "multi_turn": MULTI_TURN,
}
_TURN = re.compile(r"^(user|system)[ \t]*:[ \t]?", re.MULTILINE)
_ANSWER_FORMAT = re.compile(r"\[\"([A-Z][^\"\n]*)\"\]")  # English in both languages
_PREFERENCE = "normal_preference"


@dataclass(frozen=True)
class Entry:
    """One question with its reference."""

    question: Mapping[str, Any]
    answer: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.question["id"])

    @property
    def dialogue(self) -> str:
        """Id without the number of the turn: what a multi-turn category counts."""
        return self.id.rsplit("_", 1)[0]


def data_files(language: str, category: str) -> tuple[str, str]:
    """Paths of the questions and the answers of a category in a checkout."""
    folder, file = f"data_all/data_{language}", f"data_{category}.json"
    return f"{folder}/{file}", f"{folder}/possible_answer/{file}"


def read_entries(checkout: Path, language: str, category: str) -> list[Entry]:
    path, answer_path = (checkout / file for file in data_files(language, category))
    questions, answers = read_json_lines(path), read_json_lines(answer_path)
    kinds: Mapping[str, Any] = {"id": str, "question": str, "function": (list, dict)}
    for number, question in enumerate(questions, start=1):
        wrong = next((key for key, kind in kinds.items() if not isinstance(question.get(key), kind)), None)
        if wrong is not None:
            raise ValueError(f"{path}, line {number}, field {wrong!r} is missing or of the wrong type.")
    ids = [question["id"] for question in questions]
    if not ids or ids != [answer.get("id") for answer in answers] or len(set(ids)) < len(ids):
        raise ValueError(f"{answer_path} does not answer the questions of {path}, id by id. Restore both files.")
    wrong = next((answer["id"] for answer in answers if not answer.get("ground_truth")), None)
    if wrong is not None:
        raise ValueError(f"{answer_path}: {wrong!r} lacks 'ground_truth'.")
    return [Entry(question, answer) for question, answer in zip(questions, answers, strict=True)]


@dataclass(frozen=True)
class Prompts:
    checkout: Path
    language: str

    def row(self, entry: Entry, category: str) -> dict[str, Any]:
        """The canonical row of an entry: the dialogue as messages, after a system message with what the scorer expects."""
        tools = to_tools(_distinct(entry.question["function"]))
        conversation = Conversation(tools, "question")
        conversation.add_text("system", self._system(entry, category))
        for role, text in split_dialogue(entry.question["question"]):
            calls = read_named_calls(text) if role == "assistant" and text.startswith("[") else None
            if calls is not None:
                conversation.add_calls(calls)
            elif role == "assistant" and "tool_calls" in conversation.messages[-1]:
                conversation.messages.append({"role": role, "content": text})  # about the outcome, after the calls
            else:
                conversation.add_text(role, text)
        return {"id": entry.id, "prompt": conversation.messages, "tools": dump_json(tools)}

    def official_row(self, entry: Entry, category: str) -> dict[str, Any]:
        """The row with the messages of the benchmark's own inference, whose system message lists the functions."""
        kind = "PREFERENCE" if category == _PREFERENCE else "SPECIAL" if category in SPECIAL else "NORMAL"
        functions = entry.question["function"]
        functions = functions if isinstance(functions, list) else [functions]
        # "time" and "profile" as the official code fills them in
        system = self._official(f"SYSTEM_PROMPT_FOR_{kind}_DATA").format(
            time=entry.question.get("time", ""), profile=entry.question.get("profile", ""), function=functions
        )
        user = self._official("USER_PROMPT").format(question=entry.question["question"])
        prompt = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return {"id": entry.id, "prompt": prompt, "tools": "[]"}

    def _system(self, entry: Entry, category: str) -> str:
        parts = []
        if entry.question.get("time"):
            parts.append(str(entry.question["time"]))
        if entry.question.get("profile"):
            parts.append(f"What is known of the user: {entry.question['profile']}")
        if category in SPECIAL:
            wrong, missing, unable = self.answer_formats
            parts.append(
                "First see whether the request can be carried out. If not, call nothing and answer with one of these "
                "lines, word for word, with the names and values filled in.\n"
                f"A value in the request does not fit what the function expects: {wrong}\n"
                f"A required parameter is not given: {missing}\n"
                f"None of the functions can do it: {unable}"
            )
        return "\n".join(parts)

    @cached_property
    def answer_formats(self) -> tuple[str, str, str]:
        """Answers for a wrong value, a missing parameter and an unfit function, as the official prompt words them."""
        found = _ANSWER_FORMAT.findall(self._official("SYSTEM_PROMPT_FOR_SPECIAL_DATA"))
        if len(found) != 3:
            raise ValueError(
                f"{self._prompt_file}: the prompt of the special categories names {len(found)} answers, not 3. "
                "Restore the file."
            )
        return found[0], found[1], found[2]

    @property
    def _prompt_file(self) -> Path:
        return self.checkout / "model_inference" / f"prompt_{self.language}.py"

    @cached_property
    def _constants(self) -> dict[str, str]:
        """The prompts of the official inference: string constants of a module, which is not run."""
        try:
            tree = ast.parse(self._prompt_file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{self._prompt_file} cannot be read: {error}. Restore the file.") from None
        constants = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                for target in node.targets:
                    if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                        constants[target.id] = node.value.value
        return constants

    def _official(self, name: str) -> str:
        key = f"{name}_{self.language.upper()}"
        if key not in self._constants:
            raise ValueError(f"{self._prompt_file} does not define {key}. Restore the file.")
        return self._constants[key]

    def reference(self, entry: Entry, category: str) -> str:
        """The reference of an entry as the answer of a model that is always right; the first of several."""
        truth = entry.answer["ground_truth"]
        truth = truth[0] if isinstance(truth, list) else truth
        if category not in SPECIAL:
            return write_calls(ToolCall(re.sub(r"_\d+$", "", name), values) for name, values in truth.items())
        wrong, missing, _ = self.answer_formats
        if isinstance(truth, str):
            return truth
        line = missing if category == "special_incomplete" else wrong
        marks = ("ApiName", _first_group(line)) if category == "special_incomplete" else ("key", _first_group(line))
        return "\n".join(
            line.replace(marks[1], f"({', '.join(values)})", 1).replace(marks[0], name, 1)
            for name, values in truth.items()
        )


def _first_group(line: str) -> str:
    found = re.search(r"\([^()]*\)", line)
    return found.group() if found else line


def _distinct(functions: Any) -> list[Any]:
    """Functions without a second one of the same name: one entry has two, and a chat template takes one."""
    functions = functions if isinstance(functions, list) else [functions]
    by_name: dict[Any, Any] = {}
    for position, function in enumerate(functions):
        by_name.setdefault(function.get("name", position) if isinstance(function, dict) else position, function)
    return list(by_name.values())


def split_dialogue(text: str) -> list[tuple[str, str]]:
    """Turns of a dialogue that is written as one text."""
    marks = list(_TURN.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return [("user", text.strip())]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns = [
        ("user" if mark[1] == "user" else "assistant", text[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    ]
    return [(role, content) for role, content in turns if content]
