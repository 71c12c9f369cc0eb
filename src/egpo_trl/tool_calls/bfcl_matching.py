"""Comparison by BFCL's rules: the reference lists the acceptable values of each argument.

Written after the observable behaviour of the official `ast_checker` of bfcl-eval 2026.3.23 for Python; a test compares
the two on every Python entry of the benchmark. Where that checker is defective this one is not: calls in parallel are
matched by a perfect matching instead of greedily, the types `number` and `object` and arrays without `items` are
understood instead of raising KeyError.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from .calls import ToolCall
from .matching import Schema

_TYPES: Mapping[str, type] = {
    "string": str,
    "any": str,
    "integer": int,
    "float": float,
    "number": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "object": dict,
}
_SCALARS = (str, int, float, bool)
_IGNORED = str.maketrans(dict.fromkeys(" ,./-_*^") | {"'": '"'})
_OMITTED = ""  # among the acceptable values: the argument may be left out


def bfcl_difference(call: ToolCall, wanted: ToolCall, schemas: Mapping[str, Schema]) -> str | None:
    """
    What tells a call from a reference call whose arguments are lists of acceptable values.

    Strings are compared without case, blanks and the characters `,./-_*^`; an integer passes for a float at top level,
    nothing else passes for another type; `""` among the values means that an argument may be left out unless the schema
    requires it; lists are ordered.
    """
    if call.name != wanted.name:
        return "wrong_function"
    arguments, accepted = call.arguments, wanted.arguments
    schema = schemas.get(call.name, {})
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in arguments:
            return "missing_argument"
    for name, value in arguments.items():
        if name not in properties or name not in accepted:
            return "unexpected_argument"
        values, parameter, kind = accepted[name], properties[name], type(value)
        if kind in _SCALARS and type(values) is list and value in values:  # the plain case, without a call
            first = values[0]
            if type(first) is kind and first != _OMITTED and type(parameter) is dict:
                declared = parameter.get("type")
                if type(declared) is str and _TYPES.get(declared) is kind:
                    continue
        reason = _check_argument(value, parameter, _alternatives(values))
        if reason is not None:
            return reason
    for name, values in accepted.items():
        if name not in arguments and _OMITTED not in _alternatives(values):
            return "missing_argument"
    return None


def _alternatives(values: Any) -> list[Any]:
    """Acceptable values; a reference that gives a bare value accepts that value."""
    return values if isinstance(values, list) else [values]


def _example_type(values: Sequence[Any]) -> type | None:
    """Type of the first value that does not mean "may be left out"."""
    for value in values:
        if value != _OMITTED:
            return type(value)
    return None


def _type_of(schema: Any) -> type | None:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(kind, str):
        return _TYPES.get(kind)
    kinds = kind if isinstance(kind, list) else []
    return next((_TYPES[name] for name in kinds if isinstance(name, str) and name in _TYPES), None)


def _check_argument(value: Any, schema: Any, alternatives: Sequence[Any]) -> str | None:
    example = _example_type(alternatives)
    expected = _type_of(schema) or example or type(value)
    items = _type_of(schema.get("items")) if expected is list and isinstance(schema, dict) else None
    if expected is float and type(value) is int:
        if abs(value) > 2**1023:
            return "wrong_value"  # no float is that large
        value = float(value)
    # An example of another type than the schema's denotes a variable, which is compared as it is.
    is_variable = example is not None and example is not expected
    if type(value) is not expected:
        if type(value) is not example:
            return "wrong_type"
        is_variable = True
    elif isinstance(value, list) and items is not None and not _items_fit(value, items, alternatives):
        return "wrong_type"
    if is_variable:
        return None if value in alternatives else "wrong_value"
    if expected is dict:
        fits = any(_dict_fits(value, item) for item in alternatives if item != _OMITTED)
    elif isinstance(value, list) and items is dict:
        fits = any(_dicts_fit(value, item) for item in alternatives)
    elif expected is list:
        fits = value in alternatives or _standard_list(value) in [_standard_list(item) for item in alternatives]
    elif expected is str:
        fits = _standard(value) in [_standard_reference(item) for item in alternatives if isinstance(item, str)]
    else:
        fits = value in alternatives
    return None if fits else "wrong_value"


def _items_fit(value: Sequence[Any], expected: type, alternatives: Sequence[Any]) -> bool:
    """Whether all items have the type of the schema or that of the first item of one and the same alternative."""
    for alternative in alternatives:
        if not isinstance(alternative, list):
            return True
        if all(type(item) in (expected, _example_type(alternative)) for item in value):
            return True
    return False


def _standard(value: Any) -> Any:
    return value.translate(_IGNORED).lower() if isinstance(value, str) else value


@lru_cache(maxsize=1024)  # the rollouts of a group are compared with the same values
def _standard_reference(value: str) -> str:
    return value.translate(_IGNORED).lower()


def _standard_list(value: Any) -> list[Any]:
    return [_standard(item) for item in value] if isinstance(value, (list, str)) else []


def _dict_fits(value: Any, wanted: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(wanted, dict):
        return False
    for key, item in value.items():
        if key not in wanted or _standard(item) not in [_standard(other) for other in _alternatives(wanted[key])]:
            return False
    return all(key in value or _OMITTED in _alternatives(values) for key, values in wanted.items())


def _dicts_fit(value: Sequence[Any], wanted: Any) -> bool:
    if not isinstance(wanted, (list, str)) or len(value) != len(wanted):
        return False
    return all(_dict_fits(item, other) for item, other in zip(value, wanted, strict=True))


def first_values(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """
    The first acceptable value of each argument. One that may be left out is, where that stands first or the schema
    does not know the argument, unless the schema requires it.
    """
    values = {}
    known, required = schema.get("properties"), schema.get("required")
    known = known if isinstance(known, Mapping) else arguments
    required = required if isinstance(required, list) else ()
    for name, acceptable in arguments.items():
        acceptable = acceptable if isinstance(acceptable, list) else [acceptable]
        given = [value for value in acceptable if value != _OMITTED]
        if name in required:
            values[name] = _concrete(given[0] if given else _OMITTED)
        elif given and acceptable[0] != _OMITTED and (name in known or _OMITTED not in acceptable):
            values[name] = _concrete(given[0])
    return values


def _concrete(value: Any) -> Any:
    if isinstance(value, Mapping):
        return first_values(value, {})
    if isinstance(value, list):
        return [first_values(item, {}) if isinstance(item, Mapping) else item for item in value]
    return value
