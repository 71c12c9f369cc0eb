"""Reads and writes the logs and the configuration of a run."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LogHistory = Sequence[Mapping[str, Any]]

LOG_FILE = "log.jsonl"  # one line per log, written during the run
CONFIG_FILE = "run_config.json"


def _find_log(run: Path) -> Path:
    checkpoints = sorted(run.glob("checkpoint-*/trainer_state.json"), key=lambda file: file.stat().st_mtime)
    for path in (run / LOG_FILE, run / "trainer_state.json", *checkpoints[-1:]):
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{run} does not contain a log yet ({LOG_FILE}, trainer_state.json or a checkpoint with one). Wait for the first "
        "logged step."
    )


def parse_lines(text: str) -> list[Any]:
    """JSON of each line; a last line that is still being written is left out."""
    *lines, last = text.split("\n")  # the last is empty, or a line that is being written
    entries = [json.loads(line) for line in lines if line.strip()]
    try:
        return [*entries, json.loads(last)]
    except ValueError:
        return entries


def read_log(run: str | Path) -> list[dict[str, Any]]:
    """
    Log history of a run, finished or not: of its output folder, a checkpoint, a `log.jsonl` or a `trainer_state.json`.

    Raises `FileNotFoundError` if a log does not exist yet, and `ValueError` if the file is neither.
    """
    path = Path(run)
    if path.is_dir():
        path = _find_log(path)
    try:
        text = path.read_text(encoding="utf-8")
        log = parse_lines(text) if path.suffix == ".jsonl" else json.loads(text)["log_history"]
        return [entry for entry in log if isinstance(entry.get("step"), int)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is neither a log nor a trainer state: {error!r}.") from None


def series(log: LogHistory, metric: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric, where it was logged as a finite number."""
    points = {
        entry["step"]: float(value)
        for entry in log
        if isinstance(value := entry.get(metric), int | float) and math.isfinite(value)
    }
    return list(points), list(points.values())


def save_config(fields: Mapping[str, Any], changed: Sequence[str], versions: Mapping[str, str], run: Path) -> None:
    """Write down what a run was configured with, for its report."""
    run.mkdir(parents=True, exist_ok=True)
    config = {"changed": sorted(changed), "fields": dict(fields), "versions": dict(versions)}
    (run / CONFIG_FILE).write_text(json.dumps(config, indent=1, default=str), encoding="utf-8")


def read_config(run: Path) -> dict[str, Any] | None:
    """Configuration of a run, see [`save_config`]."""
    path = run / CONFIG_FILE
    if not path.exists():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return {"changed": list(config["changed"]), "fields": dict(config["fields"]), "versions": config["versions"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a configuration of a run: {error!r}.") from None
