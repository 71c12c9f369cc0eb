"""Converts a data set to a file of canonical rows, as `egpo-trl convert` does."""

from pathlib import Path

from ..utils.files import WholeFile
from .loading import ROW_FEATURES
from .sources import Conversion, UnknownFormat

_MAX_REASONS = 3


def describe(conversion: Conversion) -> str:
    """What the format of a data set is and why; raises `UnknownFormat` where nobody can tell."""
    return "; ".join(f"{source}: {why}" for source, why in conversion.found.items())


def write_rows(conversion: Conversion, output: Path) -> str:
    """Write the rows of a conversion."""
    if output.suffix not in (".jsonl", ".parquet"):
        raise ValueError(f"output: {str(output)!r} must end in .jsonl or .parquet.")
    output.parent.mkdir(parents=True, exist_ok=True)
    with WholeFile(output, ROW_FEATURES) as file:
        for row in conversion:
            file.write(row)
        if not conversion.num_rows:
            raise UnknownFormat(f"no row from {conversion.num_records:,} records{_reasons(conversion)}.")
    skipped = ", ".join(f"{field} {count:,}" for field, count in conversion.skipped.most_common())
    sources = ", ".join(f"{name} {count:,}" for name, count in conversion.sources.most_common())
    several = f" ({sources})" if len(conversion.sources) > 1 else ""
    return (
        f"{conversion.num_rows:,} rows from {conversion.num_records:,} records{several}, "
        f"{conversion.skipped.total():,} skipped{f' ({skipped})' if skipped else ''}: {output}"
    )


def _reasons(conversion: Conversion) -> str:
    told = [f"{count:,} times {reason}" for reason, count in conversion.reasons.most_common(_MAX_REASONS)]
    return f"; skipped: {'; '.join(told)}" if told else ""
