"""Converts a data set to a file of canonical rows, as `egpo-trl convert` does."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..utils.files import write_rows
from .loading import ROW_FEATURES
from .sources import Conversion

_MAX_REASONS = 3


def write_conversion(conversion: Conversion, output: Path) -> str:
    """Write the rows of a conversion, and say how many there are."""
    if output.suffix not in (".jsonl", ".parquet"):
        raise ValueError(f"output: {str(output)!r} must end in .jsonl or .parquet.")

    def rows() -> Iterator[Mapping[str, Any]]:
        yield from conversion
        if not conversion.num_rows:
            told = [f"{count:,} times {reason}" for reason, count in conversion.reasons.most_common(_MAX_REASONS)]
            skipped = f"; skipped: {'; '.join(told)}" if told else ""
            raise ValueError(f"no row from {conversion.num_records:,} records{skipped}.")

    write_rows(rows(), output, ROW_FEATURES)
    skipped = ", ".join(f"{field} {count:,}" for field, count in conversion.skipped.most_common())
    sources = ", ".join(f"{name} {count:,}" for name, count in conversion.sources.most_common())
    several = f" ({sources})" if len(conversion.sources) > 1 else ""
    return (
        f"{conversion.num_rows:,} rows from {conversion.num_records:,} records{several}, "
        f"{conversion.skipped.total():,} skipped{f' ({skipped})' if skipped else ''}: {output}"
    )
