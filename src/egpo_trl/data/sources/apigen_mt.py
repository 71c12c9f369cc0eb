"""APIGen-MT: `system` (the policy), `tools` as a JSON string, `conversations` of human, gpt, function_call, observation."""

from collections.abc import Mapping
from typing import Any

from ..records import Unconvertible
from . import sharegpt
from .conversation import Row


def convert_record(record: Mapping[str, Any], keep_system: bool = True) -> list[Row]:
    """Rows of a record; see [`~egpo_trl.data.sources.convert`]."""
    for field in ("tools", "system"):
        if not isinstance(record.get(field), str):
            raise Unconvertible(field, "must be a string")
    return sharegpt.convert_record(record, keep_system)
