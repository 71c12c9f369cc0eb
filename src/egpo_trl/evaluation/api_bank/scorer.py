"""Runs API-Bank's `evaluator_by_json.py` in the working directory, with our paths and dummies for optional packages."""

import ast
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from ..official.process import MAX_FILE_BYTES, VERDICTS
from ..official.restrict import limit_cpu, restrict

SECONDS_PER_ANSWER = 10


def stand_ins() -> dict[str, ModuleType]:
    """Modules that replace packages which the score needs in part or not at all."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("this package is not there")

    def decorator(*_: Any, **__: Any) -> Callable[[Any], Any]:
        return lambda function: function

    contents: dict[str, dict[str, Any]] = {
        "sentence_transformers": {"SentenceTransformer": refuse, "util": ModuleType("util")},
        "googletrans": {"Translator": type("Translator", (), {"translate": refuse}), "LANGUAGES": {}},
        "tenacity": dict.fromkeys(
            ("retry", "stop_after_attempt", "wait_random_exponential", "retry_if_exception_type"), decorator
        ),
    }
    modules = {}
    for name, members in contents.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(members)
    return modules


def split_script(source: str, paths: dict[str, str]) -> tuple[ast.Module, ast.Module]:
    """The official script as its definitions and its main part, with the paths in place."""
    tree = ast.parse(source)
    mains = [node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)]
    if len(mains) != 1:
        raise ValueError("evaluator_by_json.py: no main part found")
    found = set()
    for node in mains[0].body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in paths:
            name = node.targets[0].id
            node.value = ast.copy_location(ast.Constant(paths[name]), node.value)
            found.add(name)
    if found != set(paths):
        raise ValueError(f"evaluator_by_json.py does not set {sorted(set(paths) - found)} in its main part")
    definitions = [node for node in tree.body if node is not mains[0]]
    return ast.Module(definitions, []), ast.Module(mains[0].body, [])


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def expired(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def record_verdicts(namespace: dict[str, Any], verdicts: list[list[Any]]) -> None:
    """Keep the verdict on every answer, and bound its time; an unforeseen exception makes an answer wrong."""
    evaluate, find_call = namespace["Evaluator"].evaluate, namespace["get_api_call"]

    def recorded(self: Any, sample_id: int, model_output: str) -> Any:
        try:
            random.seed(0)
            with _time_limit(SECONDS_PER_ANSWER):
                correct, result = evaluate(self, sample_id, model_output)
            if not correct and not isinstance(result, (str, dict)):
                raise TypeError("a result that is not an object")
            named = isinstance(result, str) and result.startswith("API Name Mismatch")
            verdict: Any = True if correct else "wrong_function" if named else "wrong_call"
        except Exception as error:
            text = str(error)
            known = {
                "Parse API Call Error": "malformed_call",
                "invalid parameter name": "unexpected_argument",
                "required positional argument": "missing_argument",
            }
            verdict = next((kind for part, kind in known.items() if part in text), None)
            if verdict is not None:
                raise
            verdict = f"scorer_error: {type(error).__name__}"
            raise Exception(f"Parse API Call Error: {verdict}") from None  # what the script catches
        finally:
            verdicts.append([namespace["file"], sample_id, verdict])
        return correct, result

    def found(model_output: str) -> Any:
        try:
            with _time_limit(SECONDS_PER_ANSWER):
                return find_call(model_output)
        except TimeoutError:
            return None

    namespace["Evaluator"].evaluate = recorded
    namespace["get_api_call"] = found


def main(data: str, predictions: str, seconds: str) -> None:
    """Entry point of the process."""
    limit_cpu(int(float(seconds)))
    protections = restrict(Path.cwd().parent, max_file_bytes=MAX_FILE_BYTES)
    sys.path.insert(0, str(Path.cwd()))
    sys.modules |= stand_ins()
    os.environ["ALL_PROXY"] = ""  # the tool Translate puts back what it finds, and fails where it finds nothing
    paths = {"data_dir": data, "evaluation_path": predictions}
    script = Path("evaluator_by_json.py")
    definitions, main_part = split_script(script.read_text(encoding="utf-8"), paths)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(definitions, str(script), "exec"), namespace)
    verdicts: list[list[Any]] = []
    record_verdicts(namespace, verdicts)
    exec(compile(main_part, str(script), "exec"), namespace)
    totals = {name: namespace[name] for name in ("total_api_calls", "correct_api_calls")}
    Path(VERDICTS).write_text(
        json.dumps({**totals, "protections": protections, "verdicts": verdicts}), encoding="utf-8"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
