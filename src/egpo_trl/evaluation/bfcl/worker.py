"""Runs official code in a separate process: `python -m egpo_trl.evaluation.bfcl.worker HANDLER FOLDER`.

One request and one answer a line, as JSON. Requests are independent: a conversation is executed from its start each time,
under a separate name, so that nothing that one rollout did can reach another.
"""

import json
import marshal
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from ..official.restrict import limit_cpu, restrict
from ..subsets import choose
from .categories import category_of
from .evaluator import evaluate
from .stand_ins import prepare

Turns = Sequence[Sequence[str]]
MAX_NESTING = 500  # of an answer, which the other end reads and writes with less room on its stack


class Official:
    """The official code as plain functions of JSON values."""

    def __init__(self, folder: Path, handler: str) -> None:
        handler_class = prepare(folder, handler)
        from bfcl_eval import utils
        from bfcl_eval.constants import default_prompts, enums
        from bfcl_eval.eval_checker import eval_runner
        from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
        from bfcl_eval.model_handler import utils as decoding

        # The official function reads the same files hundreds of times, each time under a lock.
        utils.load_file = lambda path, **_: marshal.loads(_read_lines(str(path)))
        self._utils, self._runner, self._execution, self._enums = utils, eval_runner, multi_turn_utils, enums
        self._prompts = default_prompts
        self._fc = handler == "fc"
        self._handler = handler_class("model", temperature=0, registry_name="model", is_fc_model=True)
        # Module globals come before builtins: where the official code says eval, this is what it finds.
        decoding.eval = lambda source: evaluate(source, {})
        multi_turn_utils.eval = lambda source: evaluate(source, self._instances())

    def rules(self) -> dict[str, Any]:
        """Steps with calls after which a turn is broken off, and what the user says when functions are added."""
        return {
            "step_limit": self._prompts.MAXIMUM_STEP_LIMIT,
            "functions_added": self._prompts.DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC,
        }

    def entries(self, category: str, most: int | None = None, subset: str = "even") -> list[dict[str, Any]]:
        """Questions of a category, chosen by [`choose`], with functions as a model sees them and their `ground_truth`."""
        answers = self._answers(category)
        questions = list(self._questions(category).values())
        chosen = choose(questions, most, subset, lambda entry: [entry["question"], entry["function"]])
        return [{**entry, **({"ground_truth": answers[entry["id"]]} if answers else {})} for entry in chosen]

    def prompt(self, id: str) -> str:
        """Prompt of a question with a single turn, as the official handler writes it."""
        entry = self._question(id)
        inference = self._handler._pre_query_processing_prompting(entry)
        inference = self._handler.add_first_turn_message_prompting(inference, entry["question"][0])
        return str(self._handler._format_prompt(inference["message"], inference["function"]))

    def parse(self, text: str) -> dict[str, str]:
        """What of a completion the official handler writes into the result file, and the thought that it cuts out."""
        data = self._parse(text)
        return {"result": data["model_responses"], "reasoning_content": data["reasoning_content"]}

    def conversation(self, id: str, turns: Turns, show: bool = False) -> dict[str, Any]:
        """Execute a conversation from its start."""
        entry, handler = self._question(id), self._handler
        name, step = f"rollout{secrets.token_hex(8)}", None
        try:
            inference = handler._pre_query_processing_prompting(entry)
            for number, texts in enumerate(turns):
                message = self._opening(entry, number)
                add = handler._add_next_turn_user_message_prompting
                inference = (handler.add_first_turn_message_prompting if number == 0 else add)(inference, message)
                for text in texts:
                    data = self._parse(text)
                    inference = handler._add_assistant_message_prompting(inference, data)
                    step = {"result": data["model_responses"], "reasoning_content": data["reasoning_content"]}
                    step |= {"calls": [], "results": []}
                    decoded = self._decode(data["model_responses"])
                    if decoded:
                        results = self._execute(decoded, entry, name)
                        data["model_responses_decoded"] = decoded
                        inference = handler._add_execution_results_prompting(inference, results, data)
                        step |= {"calls": self._calls(data["model_responses"]), "results": results}
            prompt = handler._format_prompt(inference["message"], inference["function"]) if show else None
        finally:
            self._forget(name)
        return {"prompt": prompt, "step": step}

    def score(self, id: str, result: Any) -> dict[str, Any]:
        category, model = category_of(id), f"rollout{secrets.token_hex(8)}"
        question = _copy(self._plain_questions(category)[id])
        answer = _copy(self._answers(category).get(id))
        if self._utils.is_multi_turn(category):
            evaluate_entry = self._runner._evaluate_single_multi_turn_entry
            try:
                verdict = evaluate_entry(self._handler, id, result, answer, question, model, category)
            finally:
                self._forget(model)
        elif answer is None:
            evaluate_entry = self._runner._evaluate_single_relevance_entry
            verdict = evaluate_entry(self._handler, id, result, question, model, category)
        else:
            kind = {"simple_java": "JAVA", "simple_javascript": "JAVASCRIPT"}.get(category, "PYTHON")
            language, form = self._enums.Language[kind], self._enums.ReturnFormat[kind]
            evaluate_entry = self._runner._evaluate_single_ast_entry
            verdict = evaluate_entry(self._handler, id, result, answer, question, model, category, language, form)
        serializable: dict[str, Any] = self._utils.make_json_serializable(verdict)
        return serializable

    @lru_cache(maxsize=32)  # noqa: B019  # the object lives as long as the process
    def _answers(self, category: str) -> dict[str, Any]:
        if self._utils.is_relevance_or_irrelevance(category):
            return {}
        # Some ids of the answers differ from those of the questions; the official code goes by position.
        answers = self._utils.load_ground_truth_entry(category)
        questions = self._plain_questions(category)
        return {question: answer["ground_truth"] for question, answer in zip(questions, answers, strict=True)}

    @lru_cache(maxsize=32)  # noqa: B019
    def _plain_questions(self, category: str) -> dict[str, dict[str, Any]]:
        entries = self._utils.load_dataset_entry(category, include_prereq=False, include_language_specific_hint=False)
        return {entry["id"]: entry for entry in entries}

    @lru_cache(maxsize=32)  # noqa: B019
    def _questions(self, category: str) -> dict[str, dict[str, Any]]:
        return {entry["id"]: entry for entry in self._utils.load_dataset_entry(category)}

    def _question(self, id: str) -> dict[str, Any]:
        question: dict[str, Any] = _copy(self._questions(category_of(id))[id])
        return question

    def _parse(self, text: str) -> dict[str, Any]:
        usage = SimpleNamespace(prompt_tokens=0, completion_tokens=0)
        response = SimpleNamespace(choices=[SimpleNamespace(text=text)], usage=usage)
        parsed: dict[str, Any] = self._handler._parse_query_response_prompting(response)
        return parsed

    def _opening(self, entry: Mapping[str, Any], turn: int) -> list[dict[str, Any]]:
        held_out = entry.get("missed_function", {}).get(str(turn))
        if held_out is None:
            return list(entry["question"][turn])
        text = self._prompts.DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING.format(functions=held_out)
        return [{"role": "user", "content": text}]

    def _decode(self, result: str) -> list[str] | None:
        """Calls of a step; `None` if it has none, which ends its turn."""
        try:
            decoded: list[str] = self._handler.decode_execute(result, has_tool_call_tag=False)
        except Exception:  # as the official loop has it
            return None
        return None if self._execution.is_empty_execute_response(decoded) else decoded

    def _calls(self, result: str) -> list[dict[str, Any]]:
        """Calls of a step that was decoded, as the history shows them."""
        if self._fc:
            calls = [(call["name"], call["arguments"]) for call in self._handler._extract_tool_calls(result)]
        else:
            decoded = self._handler.decode_ast(result, self._enums.ReturnFormat.PYTHON, has_tool_call_tag=False)
            calls = [item for call in decoded for item in call.items()]
        return [{"name": str(name), "arguments": _plain_json(arguments)} for name, arguments in calls]

    def _execute(self, calls: list[str], entry: Mapping[str, Any], name: str) -> list[str]:
        results, _ = self._execution.execute_multi_turn_func_call(
            calls,
            entry["initial_config"],
            entry["involved_classes"],
            name,
            entry["id"],
            long_context="long_context" in entry["id"],
        )
        return list(results)

    def _instances(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self._execution).items() if key.endswith("_instance")}

    def _forget(self, name: str) -> None:
        for key in [key for key in vars(self._execution) if key.startswith(name)]:
            del vars(self._execution)[key]


@lru_cache(maxsize=64)
def _read_lines(path: str) -> bytes:
    """Values of a file of JSON lines, in a form that is quick to copy."""
    with Path(path).open(encoding="utf-8") as lines:
        return marshal.dumps([json.loads(line) for line in lines])


def _copy(value: Any) -> Any:
    """A copy of JSON values, ten times as fast as `copy.deepcopy`."""
    return marshal.loads(marshal.dumps(value))


def _plain_json(value: Any) -> Any:
    """A value that a message can hold: NaN, infinities and values that JSON does not have become strings."""
    text = value if isinstance(value, str) else json.dumps(value, skipkeys=True, default=str)
    return json.loads(text, parse_constant=str)


def check_nesting(value: Any) -> None:
    """Raise `RecursionError` if lists and objects are nested deeper than [`MAX_NESTING`]: a verdict quotes the model."""
    level: list[Any] = [[value]]
    for _ in range(MAX_NESTING):
        parts = (part.values() if isinstance(part, dict) else part for part in level)
        level = [item for part in parts for item in part if isinstance(item, (dict, list, tuple))]
        if not level:
            return
    raise RecursionError(f"more than {MAX_NESTING} levels of lists and objects")


def serve(official: Official, requests: BinaryIO, answers: BinaryIO, max_cpu_seconds: int) -> None:
    methods: Mapping[str, Callable[..., Any]] = {
        name: getattr(official, name) for name in ("rules", "entries", "prompt", "parse", "conversation", "score")
    }
    for line in requests:
        limit_cpu(max_cpu_seconds)
        request = json.loads(line)
        try:
            value = methods[request.pop("do")](**request)
            check_nesting(value)
            answer = json.dumps({"value": value}, default=str)
        except (Exception, RecursionError, MemoryError) as error:  # official code raises anything
            answer = json.dumps({"error": f"{type(error).__name__}: {str(error)[:500]}"})
        answers.write(answer.encode() + b"\n")
        answers.flush()


def main(handler: str, folder: str, max_memory: str, max_cpu_seconds: str) -> None:
    """Entry point of the process."""
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # official code prints
    sys.setrecursionlimit(3000)
    official = Official(Path(folder), handler)
    done = restrict(Path(folder), int(max_memory))
    os.dup2(silence, 2)  # a file, to which nothing can be written any more
    answers.write(json.dumps({"value": done}).encode() + b"\n")
    answers.flush()
    serve(official, sys.stdin.buffer, answers, int(max_cpu_seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
