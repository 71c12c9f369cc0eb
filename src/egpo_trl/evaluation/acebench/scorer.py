"""Runs ACEBench's `eval_main.py` in the working directory, a copy of a checkout, and records its verdicts."""

import ast
import importlib
import json
import operator
import runpy
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..official.process import MAX_FILE_BYTES, UNWRITABLE, VERDICTS
from ..official.restrict import limit_cpu, restrict

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def evaluate_arithmetic(expression: str) -> int | float:
    """Value of arithmetic on numbers; replaces the `eval` of the official decoder for arguments such as `a + b`."""
    return _arithmetic(ast.parse(expression, mode="eval").body)


def _arithmetic(node: ast.expr) -> int | float:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        value = _OPERATORS[type(node.op)](_arithmetic(node.left), _arithmetic(node.right))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = -_arithmetic(node.operand)
    else:
        value = node.value if isinstance(node, ast.Constant) else None
    if type(value) not in (int, float) or abs(value) > 1e18:
        raise ValueError("not arithmetic on numbers")
    return value  # type: ignore[no-any-return]


def record_verdicts(checker: Callable[..., Any], verdicts: dict[str, list[Any]]) -> Callable[..., Any]:
    """The official checker with its verdicts kept; an answer that makes it raise is wrong, and does not end the scoring."""

    def recorded(functions: Any, answer: Any, reference: Any, question: Any, category: str) -> Any:
        try:
            result = checker(functions, answer, reference, question, category)
            verdicts[category].append(True if result["valid"] else str(result.get("error_type")))
            result = _writable(result)  # quotes the answer, whose strings may hold what no file takes
        except Exception as error:
            kind = f"scorer_error: {type(error).__name__}"
            verdicts[category].append(kind)
            result = {"valid": False, "error": [kind], "error_type": kind}
        return result

    return recorded


def _writable(value: Any) -> Any:
    """The value with strings that the official score files and spreadsheets can hold."""
    if isinstance(value, str):
        return UNWRITABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    return [_writable(item) for item in value] if isinstance(value, list) else value


def main(language: str, model: str, seconds: str, *categories: str) -> None:
    """Entry point of the process."""
    limit_cpu(int(float(seconds)))
    # A spreadsheet is put together in temporary files.
    protections = restrict(Path.cwd().parent, max_file_bytes=MAX_FILE_BYTES, may_remove=True)
    sys.path.insert(0, str(Path.cwd()))
    decoding = importlib.import_module("model_inference.utils")
    decoding.eval = evaluate_arithmetic  # type: ignore[attr-defined] # shadows the builtin in that module
    verdicts: dict[str, list[Any]] = defaultdict(list)
    checking = importlib.import_module("model_eval.checker")
    checking.normal_checker = record_verdicts(checking.normal_checker, verdicts)  # type: ignore[attr-defined]
    sys.argv = ["eval_main.py", "--model", model, "--language", language, "--category", *categories]
    runpy.run_path("eval_main.py", run_name="__main__")
    Path(VERDICTS).write_text(json.dumps({"protections": protections, "verdicts": verdicts}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
