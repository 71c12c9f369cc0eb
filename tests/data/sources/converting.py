"""Converting records given as literals."""

import json
from pathlib import Path
from typing import Any

from egpo_trl.data.rows import row_problem
from egpo_trl.data.sources import Skipped, convert


def convert_records(folder: Path, source: str, records: list[Any], **options: Any) -> tuple[list[dict], list[Skipped]]:
    """Rows and skipped records of a JSON-lines file with these records; each row passes the checks of rows."""
    file = folder / "records.jsonl"
    file.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    skipped: list[Skipped] = []
    conversion = convert(str(file), source, on_skip=skipped.append, **options)
    rows = list(conversion)
    assert conversion.num_records == len(records)
    assert conversion.num_rows == len(rows)
    assert conversion.skipped.total() == len(skipped)
    assert not any(reference(row) and row["answer"] is not None for row in rows)
    for index, row in enumerate(rows):
        assert row.keys() == {"prompt", "tools", "reference", "answer", "id", "source"}
        assert row["source"] == source
        assert row_problem(row, index, ("prompt", "tools", "reference")) is None
    return rows, skipped


def reference(row: dict) -> list[dict]:
    return json.loads(row["reference"])


def parameters(row: dict) -> dict[str, dict]:
    return {tool["function"]["name"]: tool["function"]["parameters"] for tool in json.loads(row["tools"])}


def without(record: dict, field: str) -> dict:
    return {key: value for key, value in record.items() if key != field}
