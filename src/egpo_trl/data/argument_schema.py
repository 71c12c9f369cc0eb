"""Compiles JSON schemas of functions into validators of arguments; bounds what hostile schemas can cost."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import best_match

from ..tool_calls.calls import MAX_DEPTH
from .json_schema import parse_type

MAX_NODES = 10_000  # places of a schema with its references written out
MAX_WORK = 500_000  # places of a schema times places of the arguments
_MAX_MESSAGE = 300  # characters of what is told of an error
_MAX_REFERENCES = 8  # references that lead to each other; a tree deeper than that is not looked at
_KEPT = (
    "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minLength",
    "maxLength",
)  # fmt: skip
_BRANCHES = ("anyOf", "oneOf", "allOf")
_OPEN = "x-open"  # in a compiled schema: names that it does not list are allowed
_REASONS = {
    "type": "wrong_type",
    "anyOf": "wrong_type",
    "oneOf": "wrong_type",
    "required": "missing_argument",
    "additionalProperties": "unexpected_argument",
}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,),
}  # fmt: skip


# JSON Schema takes 2.0 for an integer. The reward does not: whoever answers 2 would get nothing.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


class InvalidSchema(ValueError):
    """A schema that cannot be compiled."""


class Reason(str):
    """What is wrong, as one word such as `wrong_type`, with a sentence that says where and why as `detail`."""

    detail: str

    def __new__(cls, reason: str, detail: str) -> "Reason":
        made, half = super().__new__(cls, reason), _MAX_MESSAGE // 2
        # Its beginning says where, its end why.
        made.detail = detail if len(detail) <= _MAX_MESSAGE else f"{detail[:half]} … {detail[-half:]}"
        return made


def _told(name: str, error: Any) -> str:
    """Path and message of an error; of those of branches, the one that says most."""
    error = best_match([error]) or error
    path = name
    for part in error.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return f"{path}: {error.message}" if path else str(error.message)


class Arguments:
    """Checks the arguments of one function; raises [`InvalidSchema`] for a schema that is malformed or too large."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        compiler = _Compiler(schema)
        compiled = compiler.compile(schema, 0)
        self._num_nodes = compiler.num_nodes
        properties, self._is_open = _known_properties(compiled)
        self._required = [name for name in compiled.get("required", []) if isinstance(name, str)]
        self._kinds = {name: _simple_kinds(item) for name, item in properties.items()}
        self._schemas = properties
        self._defaults = _defaults(schema)
        self._validators: dict[str, Any] = {}
        self._whole = None
        if any(key in compiled for key in (*_BRANCHES, "not")):
            self._whole = _Validator(compiled)

    def problem(self, arguments: Mapping[str, Any]) -> Reason | None:
        """The first thing that is wrong with arguments, `None` if nothing is."""
        missing = next((name for name in self._required if name not in arguments), None)
        if missing is not None:
            return Reason("missing_argument", f"{missing!r} is required")
        unexpected = None if self._is_open else next((name for name in arguments if name not in self._schemas), None)
        if unexpected is not None:
            return Reason("unexpected_argument", f"{unexpected!r} is not one of {list(self._schemas)}")
        checked: list[tuple[str, Any, Any]] = []
        for name, value in arguments.items():
            if name in self._defaults and repr(value) == self._defaults[name]:
                continue
            kinds = self._kinds.get(name)
            if kinds is None:
                if name in self._schemas:
                    checked.append((name, self._validator(name), value))
            elif kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
                checked.append((name, self._validator(name), value))
        if self._whole is not None:
            checked.append(("", self._whole, dict(arguments)))
        for name, validator, value in checked:
            if self._num_nodes * _num_places(value) > MAX_WORK:
                return Reason("too_large", "checking the arguments would take too long")
            error = next(validator.iter_errors(value), None)
            if error is not None:
                return Reason(_REASONS.get(error.validator, "wrong_value"), _told(name, error))
        return None

    def _validator(self, name: str) -> Any:
        if name not in self._validators:
            self._validators[name] = _Validator(self._schemas[name])
        return self._validators[name]


def _defaults(schema: Mapping[str, Any]) -> dict[str, str]:
    """Default values of the properties, as `repr`: giving one is right whatever the type says (`null` often)."""
    properties = schema.get("properties")
    items = properties.items() if isinstance(properties, dict) else ()
    return {name: repr(item["default"]) for name, item in items if isinstance(item, dict) and "default" in item}


def _simple_kinds(schema: Any) -> tuple[type, ...] | None:
    """Python types of a schema that says nothing but the type; `()` for any value, `None` for other schemas."""
    if schema == {}:
        return ()
    if isinstance(schema, dict) and schema.keys() == {"type"} and isinstance(schema["type"], str):
        return _PYTHON_TYPES.get(schema["type"])
    return None


def _known_properties(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Properties at top level, those of branches too, and whether others are allowed."""
    properties = dict(schema.get("properties", {}))
    is_open = schema.get("additionalProperties", False) is not False or _OPEN in schema
    todo = [branch for key in _BRANCHES for branch in schema.get(key, [])]
    while todo:
        branch = todo.pop()
        if isinstance(branch, dict):
            todo += [inner for key in _BRANCHES for inner in branch.get(key, [])]
            says_nothing = not branch.keys() & {"properties", "required", *_BRANCHES}
            is_open = is_open or says_nothing or _OPEN in branch
            for name in branch.get("properties", {}):
                properties.setdefault(name, {})  # judged with the whole
    return properties, is_open


def _num_places(value: Any) -> int:
    todo, count = [value], 0
    while todo:
        item = todo.pop()
        count += 1
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
    return count


class _Compiler:
    """Writes a schema out in plain JSON Schema, counting its places."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.num_nodes = 0
        self._num_references = 0  # on the way to the place that is being compiled

    def compile(self, schema: Any, depth: int) -> dict[str, Any]:
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES:
            raise InvalidSchema("too large")
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        if isinstance(schema, str):
            return parse_type(schema)[0]
        if not isinstance(schema, dict):
            raise InvalidSchema(f"a schema must be an object, got {type(schema).__name__}")
        if depth > MAX_DEPTH:
            raise InvalidSchema("nested too deeply")
        result = self._keywords(schema, depth)
        reference = schema.get("$ref")
        if isinstance(reference, str) and self._num_references < _MAX_REFERENCES:
            self._num_references += 1
            target = self.compile(self._resolve(reference), depth + 1)
            self._num_references -= 1
            result = {**target, **result} if not target.keys() & result.keys() else {"allOf": [target, result]}
        return _nullable(result) if schema.get("nullable") is True and depth else result

    def _keywords(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        kind = schema.get("type")
        if kind is not None:
            result |= _types(kind)
        for key in _KEPT:
            value = schema.get(key)
            if value is not None and (key == "const" or type(value) in (int, float)):
                result[key] = value
        values = schema.get("enum")
        if isinstance(values, list) and values:
            self.num_nodes += len(values)
            result["enum"] = values
        properties = schema.get("properties")
        if properties is not None:
            if not isinstance(properties, dict):
                raise InvalidSchema("'properties' must be an object")
            result["properties"] = {
                name: self.compile(item, depth + 1) for name, item in properties.items() if item is not None
            }
        required = schema.get("required")
        if isinstance(required, list):
            result["required"] = [name for name in required if isinstance(name, str)]
        extra = schema.get("additionalProperties")
        if schema.get("patternProperties"):
            result[_OPEN] = True  # names that only a regular expression tells from unknown ones
        elif extra is not None:
            result["additionalProperties"] = extra if isinstance(extra, bool) else self.compile(extra, depth + 1)
        for key in _BRANCHES:
            if isinstance(schema.get(key), list) and schema[key]:
                result[key] = [self.compile(item, depth + 1) for item in schema[key]]
        for key in ("items", "not"):
            value = schema.get(key)
            if value is not None and not isinstance(value, list):
                result[key] = self.compile(value, depth + 1)
        if isinstance(schema.get("prefixItems"), list):
            result["prefixItems"] = [self.compile(item, depth + 1) for item in schema["prefixItems"]]
        return result

    def _resolve(self, reference: str) -> Any:
        """Target of a local reference; one that is remote, or leads nowhere, describes nothing."""
        if not reference.startswith("#"):
            return {}
        target: Any = self.root
        for part in reference[1:].strip("/").split("/")[:MAX_DEPTH]:
            if part:
                part = part.replace("~1", "/").replace("~0", "~")
                target = target.get(part) if isinstance(target, dict) else None
        return target if isinstance(target, dict) else {}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """A compiled schema that takes null too, whatever it says of other values."""
    if isinstance(schema.get("type"), str) and "const" not in schema:
        listed = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return {**schema, "type": [schema["type"], "null"], **listed}
    return {"anyOf": [schema, {"type": "null"}]} if schema else {}


def _types(kind: Any) -> dict[str, Any]:
    if isinstance(kind, str):
        return parse_type(kind)[0]
    schemas = [parse_type(item)[0] for item in kind if isinstance(item, str)] if isinstance(kind, list) else []
    if not schemas or not all(schemas):
        return {}
    return {"anyOf": schemas} if len(schemas) > 1 else schemas[0]
