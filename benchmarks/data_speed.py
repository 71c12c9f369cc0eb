"""Rows converted and evaluated per second on one core, on the BFCL files of the installed wheel.

    python benchmarks/data_speed.py

Conversion reads the files and makes canonical rows that pass all checks; AST evaluation follows in the same stream, as
in the cleaning of a data set; no row is kept. Compiled schemas are cached for each `tools` string, so each repeat starts
with empty caches. The checks for duplicates and leaks are measured on the rows of the table's last line. Seconds are
those of the CPU, the median of the repeats.
"""

import argparse
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import _lru_cache_wrapper
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from egpo_trl.data import ast_evaluation, duplicates, json_schema, rows
from egpo_trl.data.ast_evaluation import ASTEvaluation
from egpo_trl.data.duplicates import Duplicates
from egpo_trl.data.leaks import BenchmarkLeaks
from egpo_trl.data.sources import bfcl, convert

CATEGORIES = (
    "simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance", "live_simple", "live_multiple",
    "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance",
)  # fmt: skip


def clear_caches() -> None:
    for module in (ast_evaluation, duplicates, json_schema, rows):
        for value in vars(module).values():
            if isinstance(value, _lru_cache_wrapper):
                value.cache_clear()


def consume(rows: Iterable[Any]) -> None:
    deque(rows, maxlen=0)


def seconds(work: Callable[[], Any], repeats: int) -> float:
    found = []
    for _ in range(repeats):
        clear_caches()
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--target", type=int, default=5000, help="rows per second")
    options = parser.parse_args()
    spec = find_spec("bfcl_eval")
    assert spec is not None, "install bfcl-eval (make setup)"
    assert spec.submodule_search_locations is not None
    folder = str(Path(spec.submodule_search_locations[0]) / "data")

    columns = ("records", "rows", "skipped", "kept", "converted/s", "both/s")
    print(f"{'category':24}" + "".join(f"{column:>13}" for column in columns))
    for name, categories in [*((name, (name,)) for name in CATEGORIES), ("all", CATEGORIES)]:
        conversion = convert(folder, "bfcl", categories=categories, on_skip=lambda skipped: None)
        evaluation = ASTEvaluation(conversion)
        kept = sum(1 for _ in evaluation)
        records = conversion.num_records
        converting = seconds(lambda conversion=conversion: list(conversion), options.repeats)
        both = seconds(lambda conversion=conversion: list(ASTEvaluation(conversion)), options.repeats)
        counts = f"{records:13,}{conversion.num_rows:13,}{conversion.skipped.total():13,}{kept:13,}"
        print(f"{name:24}{counts}{records / converting:13,.0f}{records / both:13,.0f}")
    print("dropped:", ", ".join(f"{reason} {count}" for reason, count in evaluation.reasons.most_common()))

    made = list(conversion)
    print(f"duplicates: {len(made) / seconds(lambda: Counter(map(Duplicates(), made)), options.repeats):,.0f} rows/s")
    start = time.perf_counter()
    check = BenchmarkLeaks(bfcl.questions())
    built = time.perf_counter() - start
    rate = len(made) / seconds(lambda: Counter(map(check, made)), options.repeats)
    print(f"leaks: {rate:,.0f} rows/s, index built in {built:.2f} s")
    verdict = "holds" if records / both >= options.target else "missed"
    print(f"target of {options.target:,} rows/s for conversion and AST evaluation: {verdict}")


if __name__ == "__main__":
    main()
