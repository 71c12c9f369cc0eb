"""How much of a known corruption the cleaning finds, with a scripted judge that errs at a known rate.

    python benchmarks/cleaning_recall.py

Rows of the embedded world, 20 % of their references corrupted in one of four ways. The judge knows the world; at each
question it errs with the probability of the table's title: it accepts a wrong answer, rejects a right one, or corrects
to another wrong answer. What is measured is the pipeline around such a judge: what three regenerations and independent
evaluations make of its errors.
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from egpo_trl.cleaning import CleaningConfig, Reply, clean
from egpo_trl.demo.world import NO_TOOL_ANSWER, make_rows

Calls = list[dict[str, Any]]


def wrong_name(rng: random.Random, calls: Calls, row: Mapping[str, Any]) -> Calls | None:
    """Another function of the row, or one that does not exist."""
    names = [tool["function"]["name"] for tool in json.loads(row["tools"])]
    others = [name for name in [*names, "do_it"] if name != calls[0]["name"]]
    return [{**calls[0], "name": rng.choice(others)}, *calls[1:]]


def swapped_arguments(rng: random.Random, calls: Calls, row: Mapping[str, Any]) -> Calls | None:
    """Two values of one call, of the same type, at each other's place."""
    arguments = calls[0]["arguments"]
    pairs = [
        (a, b)
        for a in arguments
        for b in arguments
        if a < b and type(arguments[a]) is type(arguments[b]) and arguments[a] != arguments[b]
    ]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    return [{**calls[0], "arguments": {**arguments, a: arguments[b], b: arguments[a]}}, *calls[1:]]


def missing_argument(rng: random.Random, calls: Calls, row: Mapping[str, Any]) -> Calls | None:
    """One argument left out."""
    gone = rng.choice(list(calls[0]["arguments"]))
    return [
        {**calls[0], "arguments": {key: value for key, value in calls[0]["arguments"].items() if key != gone}},
        *calls[1:],
    ]


def text_for_call(rng: random.Random, calls: Calls, row: Mapping[str, Any]) -> Calls | None:
    """Text where calls are right."""
    return []


CORRUPTIONS: dict[str, Callable[[random.Random, Calls, Mapping[str, Any]], Calls | None]] = {
    "wrong name": wrong_name,
    "swapped arguments": swapped_arguments,
    "missing argument": missing_argument,
    "text for a call": text_for_call,
}


def corrupt(rows: Sequence[Mapping[str, Any]], share: float, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows with a share of the references corrupted, and what was done to each (an empty string for nothing)."""
    rng = random.Random(seed)
    corrupted = [dict(row) for row in rows]
    done = [""] * len(rows)
    order = list(range(len(rows)))
    rng.shuffle(order)
    left = round(share * len(rows))
    names = list(CORRUPTIONS)
    for index in order:
        if not left:
            break
        calls = json.loads(rows[index]["reference"])
        name = names[left % len(names)]
        wrong = CORRUPTIONS[name](rng, calls, rows[index]) if calls else None
        if wrong is not None:
            corrupted[index]["reference"] = json.dumps(wrong)
            done[index] = name
            left -= 1
    return corrupted, done


class ErringJudge:
    """Knows the right answers by query, and errs at a rate; the same question always gets the same reply."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], error_rate: float) -> None:
        self.identity = {"judge": "erring", "error_rate": error_rate}
        self.error_rate = error_rate
        self.rows = {row["prompt"][0]["content"]: row for row in rows}

    def wrong_answer(self, rng: random.Random, right: Calls, row: Mapping[str, Any]) -> Calls | str:
        if not right:
            return [{"name": json.loads(row["tools"])[0]["function"]["name"], "arguments": {}}]
        choices = [change(rng, right, row) for change in CORRUPTIONS.values()]
        return rng.choice([choice for choice in choices if choice is not None]) or NO_TOOL_ANSWER

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        content = messages[-1]["content"]
        found = re.search(r"<conversation>\n(.*)\n</conversation>.*<answer>\n(.*)\n</answer>", content, re.DOTALL)
        assert found is not None
        row = self.rows[json.loads(found.group(1))["content"]]
        right = json.loads(row["reference"])
        answer = [] if "text, no call" in found.group(2) else json.loads(found.group(2))
        rng = random.Random(content)
        errs = rng.random() < self.error_rate
        correct = (answer == right) != errs
        corrected: Calls | str | None = None
        if not correct:
            wrong = answer == right or rng.random() < self.error_rate
            corrected = self.wrong_answer(rng, right, row) if wrong else right or NO_TOOL_ANSWER
        await asyncio.sleep(0)
        verdict = {"correct": correct, "reason": "scripted", "corrected": corrected}
        return Reply(json.dumps(verdict), len(content) // 4)

    async def close(self) -> None:
        pass


def read_rows(path: Path) -> dict[str, Any]:
    return {row["id"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def measure(rows: Sequence[Mapping[str, Any]], share: float, error_rate: float, seed: int, with_ast: bool) -> Table:
    """Clean corrupted rows and compare with the right ones."""
    corrupted, done = corrupt(rows, share, seed)
    with tempfile.TemporaryDirectory() as folder:
        config = CleaningConfig(output_dir=folder, output_format="jsonl", ast_evaluation=with_ast, fsync="never")
        begin = time.perf_counter()
        report = clean(config, corrupted, ErringJudge(rows, error_rate))
        seconds = time.perf_counter() - begin
        kept = read_rows(report.rows)
        usage = json.loads(report.manifest.read_text())["usage"]
    total: Counter[str] = Counter()
    outcome: dict[str, Counter[str]] = {name: Counter() for name in ("", *CORRUPTIONS)}
    for right, before, name in zip(rows, corrupted, done, strict=True):
        total[name] += 1
        after = kept.get(before["id"])
        if after is None:
            outcome[name]["dropped"] += 1
            continue
        values = [json.loads(row["reference"]) for row in (right, before, after)]
        outcome[name]["right" if values[2] == values[0] else "unchanged" if values[2] == values[1] else "wrong"] += 1
    false_alarms = total[""] - outcome[""]["right"]
    title = (
        f"Judge errs at {100 * error_rate:g} % of the questions: {len(rows):,} rows, {usage['requests']:,} questions, "
        f"{len(rows) / seconds:,.0f} rows/s"
    )
    table = Table(title=title)
    table.add_column("corruption")
    for column in ("rows", "put right", "dropped", "wrong in output", "recall", "precision"):
        table.add_column(column, justify="right")
    for name in CORRUPTIONS:
        counts = outcome[name]
        flagged = total[name] - counts["unchanged"]
        table.add_row(
            name,
            str(total[name]),
            str(counts["right"]),
            str(counts["dropped"]),
            str(counts["unchanged"] + counts["wrong"]),
            f"{100 * flagged / total[name]:.1f} %",
            f"{100 * flagged / max(1, flagged + false_alarms):.1f} %",
        )
    flagged = sum(total[name] - outcome[name]["unchanged"] for name in CORRUPTIONS)
    wrong = sum(outcome[name]["unchanged"] + outcome[name]["wrong"] for name in CORRUPTIONS)
    corrupted_rows = sum(total[name] for name in CORRUPTIONS)
    table.add_section()
    table.add_row(
        "all of them",
        str(corrupted_rows),
        str(sum(outcome[name]["right"] for name in CORRUPTIONS)),
        str(sum(outcome[name]["dropped"] for name in CORRUPTIONS)),
        str(wrong),
        f"{100 * flagged / corrupted_rows:.1f} %",
        f"{100 * flagged / max(1, flagged + false_alarms):.1f} %",
    )
    table.add_row(
        "none (false alarms)",
        str(total[""]),
        str(outcome[""]["right"]),
        str(outcome[""]["dropped"]),
        str(outcome[""]["wrong"]),
        "",
        "",
    )
    before, after = corrupted_rows / len(rows), (wrong + outcome[""]["wrong"]) / max(1, len(kept))
    table.caption = f"Wrong references: {100 * before:.1f} % of the input, {100 * after:.1f} % of the output"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--share", type=float, default=0.2, help="share of the references to corrupt")
    parser.add_argument("--error_rates", type=float, nargs="+", default=[0.0, 0.05, 0.2])
    parser.add_argument("--ast_evaluation", action="store_true", help="let the AST evaluation follow")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = make_rows(options.rows, seed=options.seed)
    console = Console(width=110)
    for error_rate in options.error_rates:
        console.print(measure(rows, options.share, error_rate, options.seed, options.ast_evaluation))


if __name__ == "__main__":
    main()
