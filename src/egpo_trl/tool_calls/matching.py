"""Comparison of calls with the reference calls; the exact one, under the JSON schemas of their functions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from .calls import MAX_DEPTH, ToolCall

Schema = Mapping[str, Any]
_NUMBERS = (int, float)
_NUMBER_TYPES = {"number", "float", "double"}

Difference = Callable[[ToolCall, ToolCall, Mapping[str, Schema]], str | None]


def compare_calls(
    calls: Sequence[ToolCall],
    reference: Sequence[ToolCall],
    schemas: Mapping[str, Schema],
    difference: Difference | None = None,
) -> str | None:
    """
    Compare calls with the reference, as multisets: each call must match one of the reference, each of them once.

    Args:
        calls (`Sequence[ToolCall]`):
            Calls of the completion.
        reference (`Sequence[ToolCall]`):
            Reference calls.
        schemas (`Mapping[str, Mapping]`):
            JSON schema of the arguments of each function that the row offers.
        difference (`Callable`, *optional*):
            What tells a call from a reference call, [`exact_difference`] by default.

    Returns:
        `str` or `None`:
            `None` if they match, else what is wrong first: `"unknown_function"`, `"missing_call"`, `"extra_call"`,
            `"wrong_function"`, `"missing_argument"`, `"unexpected_argument"`, `"wrong_type"` or `"wrong_value"`.
    """
    difference = difference or exact_difference
    if len(calls) == 1 == len(reference):
        reason = difference(calls[0], reference[0], schemas)
        is_unknown = reason == "wrong_function" and schemas and calls[0].name not in schemas
        return "unknown_function" if is_unknown else reason
    if len(calls) == len(reference) and not any(map(difference, calls, reference, repeat(schemas))):
        return None
    known = schemas.keys() | {wanted.name for wanted in reference}
    if schemas and any(call.name not in known for call in calls):
        return "unknown_function"
    if len(calls) != len(reference):
        return "missing_call" if len(calls) < len(reference) else "extra_call"
    reasons = [[difference(call, wanted, schemas) for wanted in reference] for call in calls]
    column_of = _largest_matching([[reason is None for reason in row] for row in reasons])
    if len(column_of) == len(calls):
        return None
    left = set(range(len(reference))) - set(column_of.values())
    found = [row[j] for i, row in enumerate(reasons) if i not in column_of for j in sorted(left)]
    return next((reason for reason in found if reason != "wrong_function"), "wrong_function")


def _largest_matching(fits: Sequence[Sequence[bool]]) -> dict[int, int]:
    """A largest matching of rows to columns, by augmenting paths."""
    column_of: dict[int, int] = {}
    row_of: dict[int, int] = {}
    for start in range(len(fits)):
        came_from: dict[int, int] = {}  # column -> row that it was reached from
        rows, column = [start], -1
        while rows and column < 0:
            row = rows.pop()
            for reached in (j for j, fit in enumerate(fits[row]) if fit and j not in came_from):
                came_from[reached] = row
                if reached not in row_of:
                    column = reached
                    break
                rows.append(row_of[reached])
        while column >= 0:  # hand each column of the path to the row that reached it
            row = came_from[column]
            row_of[column] = row
            column_of[row], column = column, column_of.get(row, -1)
    return column_of


def exact_difference(call: ToolCall, wanted: ToolCall, schemas: Mapping[str, Schema]) -> str | None:
    """
    What tells a call from a reference call: names and arguments must be equal.

    A bool is never a number, an integer equals a float only where the schema says `number` or `float`, strings are
    compared as they are, lists are ordered, objects are not.
    """
    if call.name != wanted.name:
        return "wrong_function"
    if call.arguments.keys() != wanted.arguments.keys():
        return "missing_argument" if wanted.arguments.keys() - call.arguments.keys() else "unexpected_argument"
    for name, value in wanted.arguments.items():
        given = call.arguments[name]
        kind, kind_wanted = type(given), type(value)
        if kind is not kind_wanted and not (kind in _NUMBERS and kind_wanted in _NUMBERS):
            return "wrong_type"
        if kind is kind_wanted and kind is not dict and kind is not list:
            if given != value:
                return "wrong_value"
            continue
        root = schemas.get(call.name, {})
        if not values_equal(given, value, children([root], root, name), root, 1):
            return "wrong_value"
    return None


def values_equal(value: Any, wanted: Any, schemas: Sequence[Schema], root: Schema, depth: int = 0) -> bool:
    """
    Whether two JSON values are equal where one of `schemas` describes them; without a schema numbers keep their type.
    """
    if depth > MAX_DEPTH:
        return False
    if type(value) is type(wanted):
        if isinstance(wanted, dict):
            keys: Iterable[Any] = wanted
            if value.keys() != wanted.keys():
                return False
        elif isinstance(wanted, list):
            keys = range(len(wanted))
            if len(value) != len(wanted):
                return False
        else:
            return bool(value == wanted)
        for key in keys:
            a, b = value[key], wanted[key]
            if type(a) is type(b) and not isinstance(b, (dict, list)):
                if a != b:
                    return False
            elif not values_equal(a, b, children(schemas, root, key), root, depth + 1):
                return False
        return True
    if type(value) in _NUMBERS and type(wanted) in _NUMBERS:
        return value == wanted and any(types_of(schema) & _NUMBER_TYPES for schema in expand(schemas, root))
    return False


def types_of(schema: Schema) -> set[str]:
    kind = schema.get("type")
    return {name for name in (kind if isinstance(kind, list) else [kind]) if isinstance(name, str)}


def expand(schemas: Iterable[Any], root: Schema) -> list[Schema]:
    """The schemas with local references resolved and the branches of `anyOf`, `oneOf` and `allOf` beside them."""
    todo, seen = list(schemas), set()
    expanded: list[Schema] = []
    while todo and len(expanded) < MAX_DEPTH:
        schema = todo.pop()
        if not isinstance(schema, dict) or id(schema) in seen:
            continue
        seen.add(id(schema))
        expanded.append(schema)
        for key in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(key)
            todo += branches if isinstance(branches, list) else []
        if isinstance(schema.get("$ref"), str):
            todo.append(_resolve(schema["$ref"], root))
    return expanded


def _resolve(pointer: str, root: Schema) -> Any:
    target: Any = root
    for part in pointer.removeprefix("#").strip("/").split("/")[:MAX_DEPTH]:
        if part:
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
    return target


def children(schemas: Sequence[Schema], root: Schema, key: str | int) -> list[Schema]:
    """Schemas of a property or of a list item."""
    children: list[Any] = []
    for schema in expand(schemas, root):
        if isinstance(key, str):
            properties = schema.get("properties")
            known = properties.get(key) if isinstance(properties, dict) else None
            children.append(schema.get("additionalProperties") if known is None else known)
        else:
            prefix = schema.get("prefixItems")
            prefix = prefix if isinstance(prefix, list) else []
            children.append(prefix[key] if key < len(prefix) else schema.get("items"))
    return [child for child in children if isinstance(child, dict)]
