"""Exact comparison of calls with the reference calls, under the JSON schemas of their functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .calls import MAX_DEPTH, ToolCall

Schema = Mapping[str, Any]
_NUMBER_TYPES = {"number", "float", "double"}


def compare_exact(
    calls: Sequence[ToolCall], reference: Sequence[ToolCall], schemas: Mapping[str, Schema]
) -> str | None:
    """
    Compare calls with the reference, as multisets.

    Names must be equal, and for each call the same arguments with equal values: a bool is never a number, an integer
    equals a float only where the schema says `number` or `float`, strings are compared as they are, lists are ordered,
    objects are not.

    Args:
        calls (`Sequence[ToolCall]`):
            Calls of the completion.
        reference (`Sequence[ToolCall]`):
            Reference calls.
        schemas (`Mapping[str, Mapping]`):
            JSON schema of the arguments of each function that the row offers.

    Returns:
        `str` or `None`:
            `None` if they are equal, else what is wrong first: `"unknown_function"`, `"missing_call"`, `"extra_call"`,
            `"wrong_function"`, `"missing_argument"`, `"unexpected_argument"`, `"wrong_type"` or `"wrong_value"`.
    """
    left = list(reference)
    unmatched = []
    for call in calls:  # equality under one schema is transitive, so the first match is as good as any
        match = next((i for i, wanted in enumerate(left) if _difference(call, wanted, schemas) is None), None)
        if match is None:
            unmatched.append(call)
        else:
            del left[match]
    if not unmatched and not left:
        return None
    if any(schemas and call.name not in schemas for call in unmatched):
        return "unknown_function"
    if len(calls) != len(reference):
        return "missing_call" if len(calls) < len(reference) else "extra_call"
    for call in unmatched:
        for wanted in left:
            if call.name == wanted.name:
                return _difference(call, wanted, schemas)
    return "wrong_function"


def _difference(call: ToolCall, wanted: ToolCall, schemas: Mapping[str, Schema]) -> str | None:
    if call.name != wanted.name:
        return "wrong_function"
    if wanted.arguments.keys() - call.arguments.keys():
        return "missing_argument"
    if call.arguments.keys() - wanted.arguments.keys():
        return "unexpected_argument"
    root = schemas.get(call.name, {})
    if values_equal(call.arguments, wanted.arguments, [root], root):
        return None
    for name, value in wanted.arguments.items():
        if not values_equal(call.arguments[name], value, _children([root], root, name), root):
            return "wrong_value" if _same_type(call.arguments[name], value) else "wrong_type"
    return "wrong_value"


def _same_type(value: Any, wanted: Any) -> bool:
    numbers = (int, float)
    if isinstance(value, bool) or isinstance(wanted, bool):
        return type(value) is type(wanted)
    return type(value) is type(wanted) or (isinstance(value, numbers) and isinstance(wanted, numbers))


def values_equal(value: Any, wanted: Any, schemas: Sequence[Schema], root: Schema, depth: int = 0) -> bool:
    """
    Whether two JSON values are equal where one of `schemas` describes them; without a schema numbers keep their type.

    Args:
        value (`Any`):
            Value in the completion.
        wanted (`Any`):
            Value in the reference.
        schemas (`Sequence[Mapping]`):
            Schemas that may describe the place (several behind `anyOf` and the like).
        root (`Mapping`):
            Schema that local references start from.
        depth (`int`, *optional*, defaults to `0`):
            Levels above this one; values nested deeper than the bound are unequal.

    Returns:
        `bool`:
            `True` if they are equal.
    """
    if depth > MAX_DEPTH:
        return False
    if isinstance(wanted, dict):
        return (
            isinstance(value, dict)
            and value.keys() == wanted.keys()
            and all(values_equal(value[k], wanted[k], _children(schemas, root, k), root, depth + 1) for k in wanted)
        )
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(
                values_equal(a, b, _children(schemas, root, i), root, depth + 1)
                for i, (a, b) in enumerate(zip(value, wanted, strict=True))
            )
        )
    if type(value) is type(wanted):
        return bool(value == wanted)
    if type(value) in (int, float) and type(wanted) in (int, float):
        return value == wanted and any(_types(schema) & _NUMBER_TYPES for schema in _expand(schemas, root))
    return False


def _types(schema: Schema) -> set[str]:
    kind = schema.get("type")
    return {name for name in (kind if isinstance(kind, list) else [kind]) if isinstance(name, str)}


def _expand(schemas: Iterable[Any], root: Schema) -> list[Schema]:
    """The schemas with local references resolved and the branches of `anyOf`, `oneOf` and `allOf` beside them."""
    todo, seen = list(schemas), set()
    expanded: list[Schema] = []
    while todo and len(expanded) < MAX_DEPTH:
        schema = todo.pop()
        if not isinstance(schema, Mapping) or id(schema) in seen:
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
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target


def _children(schemas: Sequence[Schema], root: Schema, key: str | int) -> list[Schema]:
    """Schemas of a property or of a list item."""
    children: list[Any] = []
    for schema in _expand(schemas, root):
        if isinstance(key, str):
            properties = schema.get("properties")
            known = properties.get(key) if isinstance(properties, Mapping) else None
            children.append(schema.get("additionalProperties") if known is None else known)
        else:
            prefix = schema.get("prefixItems")
            prefix = prefix if isinstance(prefix, list) else []
            children.append(prefix[key] if key < len(prefix) else schema.get("items"))
    return [child for child in children if isinstance(child, Mapping)]
