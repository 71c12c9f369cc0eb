"""ToolACE: functions in the `system` text, `conversations` with calls such as `[Get Weather(city="Rome")]`."""

import re
from collections.abc import Mapping
from typing import Any

from ...tool_calls.calls import InvalidJSON, decode_json
from ..json_schema import to_tools
from ..records import Unconvertible
from .conversation import Row
from .messages import convert_messages

FIELDS = ("system", "conversations")

_LIST = re.compile(r"\[\s*(?=\{|\])")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    system = record.get("system")
    if record.get("tools") or record.get("conversations") is None or not isinstance(system, str):
        return None
    return "its `system` holds a list of functions" if _LIST.search(system) and '"name"' in system else None


def convert_record(record: Mapping[str, Any], keep_system: bool = False) -> list[Row]:
    """Rows of a record; see [`~egpo_trl.data.sources.convert`]."""
    system = record.get("system")
    if not isinstance(system, str):
        raise Unconvertible("system", "must be the text that holds the functions")
    functions, beside = _split_system(system)
    given = {"conversations": record.get("conversations"), "tools": functions, "system": beside}
    return convert_messages(given, "conversations", keep_system)


def _split_system(system: str) -> tuple[list[dict[str, Any]], str]:
    """Functions of a system text, and the text without them."""
    for start in _LIST.finditer(system):
        try:
            functions, end = decode_json(system, start.start())
        except InvalidJSON as error:
            raise Unconvertible("system", f"the list of functions is not JSON: {error}") from None
        try:
            return to_tools(functions), system[: start.start()] + system[end:]
        except ValueError as error:
            raise Unconvertible("system", str(error)) from None
    raise Unconvertible("system", "holds no list of functions")
