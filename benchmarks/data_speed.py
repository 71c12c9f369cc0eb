"""Records converted and evaluated per CPU second on one core, on the BFCL files of the installed wheel.

    python benchmarks/data_speed.py
    python benchmarks/data_speed.py --against ../other_checkout/src

Conversion reads the files and makes canonical rows that pass all checks; AST evaluation follows in the same stream. Each
repeat starts with empty caches. Each version of the package runs in a process of its own, and the two take turns, one
category at a time. Figures are medians over the repeats, ratios medians of the ratios of neighbours.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import _lru_cache_wrapper
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CATEGORIES = (
    "simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance", "live_simple", "live_multiple",
    "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance",
)  # fmt: skip
SOURCE = Path(__file__).parents[1] / "src"


def clear_caches() -> None:
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith("egpo_trl") else ():
            if isinstance(value, _lru_cache_wrapper):
                value.cache_clear()
            elif isinstance(recent := getattr(value, "recent", None), dict):
                recent.clear()
    gc.collect()


def seconds(work: Callable[[], Iterable[Any]]) -> float:
    clear_caches()
    start = time.process_time()
    list(work())
    return time.process_time() - start


def serve() -> None:
    """Measure the categories that come as lines, and answer each with a line of counts and seconds."""
    from egpo_trl.data.ast_evaluation import ASTEvaluation
    from egpo_trl.data.sources import convert

    spec = find_spec("bfcl_eval")
    assert spec is not None, "install bfcl-eval (make setup)"
    assert spec.submodule_search_locations is not None
    folder = str(Path(spec.submodule_search_locations[0]) / "data")
    for line in sys.stdin:
        conversion = convert(folder, "bfcl", categories=json.loads(line), on_skip=lambda skipped: None)
        kept = sum(1 for _ in ASTEvaluation(conversion))
        found = {"records": conversion.num_records, "rows": conversion.num_rows, "kept": kept}
        found["converted"] = seconds(lambda conversion=conversion: conversion)
        found["both"] = seconds(lambda conversion=conversion: ASTEvaluation(conversion))
        print(json.dumps(found), flush=True)


class Version:
    """A process that measures the package in a folder."""

    def __init__(self, source: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(source.resolve())}
        command = [sys.executable, __file__, "--serve"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def measure(self, categories: Iterable[str]) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(categories)) + "\n")
        self._process.stdin.flush()
        measured: dict[str, float] = json.loads(self._process.stdout.readline())
        return measured

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path, help="the folder src of another version, measured in turns")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    versions = [Version(source) for source in (SOURCE, options.against) if source]
    columns = ["records", "rows", "kept", "converted/s", "both/s", *(["converted", "both"] if options.against else [])]
    print(f"{'category':24}" + "".join(f"{column:>13}" for column in columns))
    for name, categories in [*((name, (name,)) for name in CATEGORIES), ("all", CATEGORIES)]:
        found = [[version.measure(categories) for version in versions] for _ in range(options.repeats)]
        counts = found[0][0]
        line = "".join(f"{counts[key]:13,}" for key in ("records", "rows", "kept"))
        for kind in ("converted", "both"):
            line += f"{counts['records'] / statistics.median(ours[kind] for ours, *_ in found):13,.0f}"
        for kind in ("converted", "both") if options.against else ():
            line += f"{statistics.median(theirs[kind] / ours[kind] for ours, theirs in found):12.2f}x"
        print(f"{name:24}{line}", flush=True)
    for version in versions:
        version.close()


if __name__ == "__main__":
    main()
