"""Keeps the results: each finished run is a file of its own until it is in the CSV, so that a kill loses nothing."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from egpo_trl.utils.files import write_text

COLUMNS = (
    "run", "stage", "task", "arm", "value", "warm_start", "seed", "learning_rate", "exact_t1", "greedy", "pass_at_k",
    "auc_reward", "cot_length", "cot_entropy", "bonus_over_advantage", "clipped", "steps", "train_seconds",
    "evaluation_seconds", "wall_seconds", "weights", "commit", "versions", "machine", "finished_at", "error",
)  # fmt: skip
CURVE_COLUMNS = ("run", "reward", "cot_entropy", "cot_length")
WARM_START_COLUMNS = ("task", "warm_start", "seed", "weights", "build_seconds", "exact_t1", "pass_at_k", "greedy")
Row = dict[str, Any]


class Store:
    """The CSV files in `results` and the files of single runs in `work`."""

    def __init__(self, results: Path, work: Path) -> None:
        self.results, self.work = results, work

    def file_of(self, name: str) -> Path:
        """Where the process of a run leaves its result."""
        return self.work / "runs" / f"{name}.json"

    def rows(self) -> dict[str, Row]:
        """All finished runs by name."""
        return {row["run"]: row for row in read_csv(self.results / "runs.csv")} | {
            name: result["row"] for name, result in self._files().items()
        }

    def collect(self) -> None:
        """Write the CSV files anew with every finished run, each once, in the order in which they finished."""
        rows = sorted(self.rows().values(), key=lambda row: (str(row["finished_at"]), row["run"]))
        curves = {row["run"]: row for row in read_csv(self.results / "curves.csv")}
        for name, result in self._files().items():
            if result["curves"]:
                curves[name] = {"run": name} | {key: _joined(values) for key, values in result["curves"].items()}
        ordered = [curves[row["run"]] for row in rows if row["run"] in curves]
        starts = {(row["task"], str(row["warm_start"])): row for row in read_csv(self.results / "warm_starts.csv")}
        for file in sorted((self.work / "warm_starts").glob("*/measured.json")):
            row = json.loads(file.read_text(encoding="utf-8"))
            starts[row["task"], str(row["warm_start"])] = row
        self.results.mkdir(parents=True, exist_ok=True)
        write_csv(self.results / "runs.csv", COLUMNS, rows)
        write_csv(self.results / "curves.csv", CURVE_COLUMNS, ordered)
        write_csv(self.results / "warm_starts.csv", WARM_START_COLUMNS, [starts[key] for key in sorted(starts)])

    def _files(self) -> dict[str, Any]:
        files = sorted((self.work / "runs").glob("*.json"))
        return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _joined(values: list[float | None]) -> str:
    return " ".join("" if value is None else f"{value:.4g}" for value in values)


def read_csv(path: Path) -> list[Row]:
    """Rows of a CSV file, or an empty list if it does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path: Path, columns: tuple[str, ...], rows: list[Mapping[str, Any]] | list[Row]) -> None:
    """Write a CSV file, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(text.getvalue(), path)
