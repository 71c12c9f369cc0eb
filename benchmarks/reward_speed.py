"""Completions judged per second on one core, beside bfcl-eval's decoding and `ast_checker` on the same answers.

    python benchmarks/reward_speed.py

Answers are those of BFCL's Python categories, as given and with one argument changed, behind a few hundred tokens of
reasoning, in groups of 8 rollouts for each row. Both sides compare by BFCL's rules; ours also checks the reasoning
template and, in further lines, compares exactly, and does without its memory of the answers that a group repeats (about
six in ten here). Several alternating repeats, the median of each.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from egpo_trl import ToolCallReward
from egpo_trl.tool_calls import completions as completions_module

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_multiple")
ROLLOUTS = 8
# What the official decoders and checker import but do not use here: clients of vendors, parsers of Java.
STAND_INS = (
    "tenacity", "tree_sitter", "tree_sitter_java", "tree_sitter_javascript", "bfcl_eval.constants.model_config",
    "bfcl_eval.model_handler.parser.java_parser", "bfcl_eval.model_handler.parser.js_parser",
)  # fmt: skip


def official() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The official Hermes and pythonic decoders and the checker, unchanged."""
    os.environ.setdefault("BFCL_PROJECT_ROOT", tempfile.mkdtemp())
    for name in STAND_INS:
        sys.modules.setdefault(name, MagicMock())
    sys.modules["bfcl_eval.constants.model_config"].MODEL_CONFIG_MAPPING = {
        "model": SimpleNamespace(underscore_to_dot=False)
    }
    sys.modules["overrides"] = SimpleNamespace(override=lambda method: method)  # type: ignore[assignment]
    base = SimpleNamespace(OSSHandler=object)
    sys.modules["bfcl_eval.model_handler.local_inference.base_oss_handler"] = base  # type: ignore[assignment]
    from bfcl_eval.constants.enums import Language, ReturnFormat
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
    from bfcl_eval.model_handler.local_inference.qwen_fc import QwenFCHandler
    from bfcl_eval.model_handler.utils import default_decode_ast_prompting

    handler = QwenFCHandler.__new__(QwenFCHandler)
    return (
        lambda text: handler.decode_ast(text, ReturnFormat.PYTHON, False),
        lambda text: default_decode_ast_prompting(text.split("</think>")[-1], ReturnFormat.PYTHON),
        lambda row, calls: ast_checker(
            row["function"], calls, row["answer"], Language.PYTHON, row["category"], "model"
        ),
    )


def value_of(value: Any) -> Any:
    """The first acceptable value, in depth."""
    if isinstance(value, dict):
        firsts = {key: next((v for v in values if v != ""), "") for key, values in value.items()}
        return {key: item for key, item in firsts.items() if item != ""}
    return [value_of(item) if isinstance(item, dict) else item for item in value] if isinstance(value, list) else value


def make_rows(count: int, rng: random.Random) -> list[dict[str, Any]]:
    spec = find_spec("bfcl_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    data = Path(spec.submodule_search_locations[0]) / "data"
    rows = []
    for category in CATEGORIES:
        name = f"BFCL_v4_{category}.json"
        questions = [json.loads(line) for line in (data / name).read_text().splitlines()]
        lines = (data / "possible_answer" / name).read_text().splitlines()
        answers = {answer["id"]: answer["ground_truth"] for answer in map(json.loads, lines)}
        for question in questions:
            answer = answers[question["id"]]
            calls = [(name, value_of(arguments)) for item in answer for name, arguments in item.items()]
            names = [function["name"] for function in question["function"]]
            if len(calls) > 4 or len(set(names)) < len(names):
                continue
            reference = [{"name": name, "arguments": values} for item in answer for name, values in item.items()]
            exact = [{"name": name, "arguments": arguments} for name, arguments in calls]
            rows.append({
                "category": category, "function": question["function"], "answer": answer, "calls": calls,
                "tools": json.dumps(question["function"]), "bfcl": json.dumps(reference), "exact": json.dumps(exact),
            })  # fmt: skip
    return rng.sample(rows, count)


def write(syntax: str, calls: list[tuple[str, dict[str, Any]]], rng: random.Random) -> str:
    """A completion: reasoning of 200 to 400 words, then the calls, one of them wrong in half of the cases."""
    words = "the user wants to know so I should call a function with these values because it fits and has unit".split()
    thought = " ".join(rng.choice(words) for _ in range(rng.randint(200, 400)))
    calls = [(name, dict(arguments)) for name, arguments in calls]
    if rng.random() < 0.5 and calls[-1][1]:
        calls[-1][1][rng.choice(list(calls[-1][1]))] = "something else"
    if syntax == "hermes":
        blocks = (json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls)
        return f"<think>\n{thought}\n</think>\n\n" + "\n".join(f"<tool_call>\n{b}\n</tool_call>" for b in blocks)
    written = (f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" for name, arguments in calls)
    return f"<think>\n{thought}\n</think>\n\n[{', '.join(written)}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    rng = random.Random(0)
    decode_hermes, decode_pythonic, check = official()
    rows = make_rows(options.rows, rng)
    print(
        f"{len(rows)} rows x {ROLLOUTS} rollouts, one core, CPU time, median of {options.repeats} alternating repeats"
    )
    print(f"{'':30}{'completions/s':>15}{'beside official':>17}")
    for syntax, decode in (("hermes", decode_hermes), ("pythonic", decode_pythonic)):
        group = [row for row in rows for _ in range(ROLLOUTS)]
        completions = [write(syntax, row["calls"], rng) for row in group]
        prompts = [""] * len(group)
        tools = [row["tools"] for row in group]

        def official_path(group=group, completions=completions, decode=decode) -> list[bool]:
            verdicts = []
            for row, completion in zip(group, completions, strict=True):
                try:
                    verdicts.append(bool(check(row, decode(completion))["valid"]))
                except Exception:  # it raises on a broken answer
                    verdicts.append(False)
            return verdicts

        def ours(comparison: str, syntax=syntax, group=group, prompts=prompts, completions=completions, tools=tools):
            reward = ToolCallReward(syntax=syntax, comparison=comparison, think_prefilled=False)
            references = [row[comparison] for row in group]
            return lambda: [r == 1.0 for r in reward(prompts, completions, reference=references, tools=tools)]

        def forgetful(path: Callable[[], list[bool]]) -> Callable[[], list[bool]]:
            """The same without remembering the answers that a group repeats."""

            def run() -> list[bool]:
                remembered = completions_module._MAX_REPEATED
                completions_module._MAX_REPEATED = -1
                try:
                    return path()
                finally:
                    completions_module._MAX_REPEATED = remembered

            return run

        paths = {"bfcl-eval, decode + checker": official_path}
        for comparison in ("bfcl", "exact"):
            paths[f"ours, {comparison}"] = ours(comparison)
            paths[f"ours, {comparison}, no repeats"] = forgetful(ours(comparison))
        verdicts = {name: path() for name, path in paths.items()}
        differ = sum(
            a != b for a, b in zip(verdicts["ours, bfcl"], verdicts["bfcl-eval, decode + checker"], strict=True)
        )
        seconds: dict[str, list[float]] = {name: [] for name in paths}
        for repeat in range(options.repeats):
            for name in list(paths) if repeat % 2 else reversed(paths):
                start = time.process_time()
                paths[name]()
                seconds[name].append(time.process_time() - start)
        base = statistics.median(seconds["bfcl-eval, decode + checker"])
        print(f"{syntax}: {sum(verdicts['ours, bfcl'])} of {len(group)} right, {differ} verdicts differ")
        for name in paths:
            median = statistics.median(seconds[name])
            print(f"  {name:28}{len(group) / median:15,.0f}{base / median:16.2f}x")


if __name__ == "__main__":
    main()
