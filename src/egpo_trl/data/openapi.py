"""Reads the operations of an OpenAPI document (2.0 to 3.1) as function schemas, with where each argument goes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .json_schema import to_json_schema

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
_MAX_NODES = 10_000  # places of one operation's schema with its references written out
_MAX_REFERENCES = 8  # references that lead to each other
_MAX_DESCRIPTION = 2_000
_RESERVED = ("accept", "content-type", "authorization")  # header parameters that OpenAPI tells readers to ignore
_KEPT_OF_PARAMETER = ("type", "format", "enum", "default", "items", "minimum", "maximum", "minLength", "maxLength")
_OBJECT_KEYS = {"type", "properties", "required", "title", "description"}
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
BODY = "body"  # name of the argument that is the whole body, where the body does not have named fields


@dataclass(frozen=True)
class Operation:
    """One operation: its function schema, and for each argument its place (`path`, `query`, …) and its name there."""

    schema: dict[str, Any]
    method: str
    path: str
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    media_type: str = "application/json"
    whole_body: bool = False

    @property
    def name(self) -> str:
        return str(self.schema["function"]["name"])


def read_operations(document: Any) -> list[Operation]:
    paths = document.get("paths") if isinstance(document, Mapping) else None
    if not isinstance(paths, Mapping) or not paths:
        raise ValueError("is not an OpenAPI document: it lacks 'paths'")
    operations: dict[str, Operation] = {}
    for path, item in paths.items():
        item = _Resolver(document).resolve(item)
        for method in METHODS:
            described = item.get(method) if isinstance(item, Mapping) else None
            if isinstance(described, Mapping):
                operation = _operation(document, str(path), method, item, described)
                if operation.name in operations:
                    raise ValueError(f"has two operations called {operation.name!r}")
                operations[operation.name] = operation
    if not operations:
        raise ValueError("is not an OpenAPI document: its 'paths' are without operations")
    return list(operations.values())


def _operation(
    document: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any], described: Mapping[str, Any]
) -> Operation:
    resolver = _Resolver(document)
    places: dict[str, tuple[str, str]] = {}
    properties: dict[str, Any] = {}
    required: list[str] = []
    media_type, whole_body = "application/json", False

    def add(place: str, name: str, schema: Any, is_required: bool) -> None:
        argument = name if name not in properties else f"{name}_{place}"
        places[argument] = (place, name)
        properties[argument] = to_json_schema(schema) if isinstance(schema, Mapping) else {}
        if is_required:
            required.append(argument)

    body: Any = None
    consumed = described.get("consumes") or document.get("consumes") or ()
    for parameter in _parameters(resolver, item, described):
        place, name = parameter.get("in"), parameter.get("name")
        if place == "body":  # Swagger 2
            body = {
                "required": parameter.get("required"),
                "content": {media_type: {"schema": parameter.get("schema")}},
            }
        elif place in ("path", "query", "header", "cookie", "formData") and isinstance(name, str):
            if place == "header" and name.lower() in _RESERVED:
                continue
            if place == "formData":
                is_upload = media_type == MULTIPART or parameter.get("type") == "file"
                place, media_type = BODY, MULTIPART if is_upload or MULTIPART in consumed else URLENCODED
                if parameter.get("type") == "file":
                    parameter = {**parameter, "type": "string", "format": "binary"}
            add(place, name, _schema_of(resolver, parameter), place == "path" or parameter.get("required") is True)
    body = resolver.resolve(described["requestBody"]) if "requestBody" in described else body
    if isinstance(body, Mapping) and isinstance(body.get("content"), Mapping) and body["content"]:
        media_type = next((name for name in body["content"] if "json" in str(name)), next(iter(body["content"])))
        content = body["content"][media_type]
        schema = resolver.write_out(content.get("schema") if isinstance(content, Mapping) else None)
        fields = schema.get("properties")
        if isinstance(fields, Mapping) and fields:
            needed = schema.get("required")
            for name, value in fields.items():
                if not (isinstance(value, Mapping) and value.get("readOnly") is True):
                    add(BODY, str(name), value, isinstance(needed, list) and name in needed)
        else:
            whole_body = True
            add(BODY, BODY, schema, body.get("required") is True)
    given = described.get("operationId")
    name = given if isinstance(given, str) and given.strip() else f"{method}{path}"
    texts = [described.get(key) for key in ("summary", "description")]
    description = "\n".join(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
    function = {
        "name": re.sub(r"[^\w.-]+", "_", name).strip("_"),
        "description": description[:_MAX_DESCRIPTION],
        "parameters": {"type": "object", "properties": properties, "required": required},
    }
    return Operation({"type": "function", "function": function}, method, path, places, str(media_type), whole_body)


def _parameters(
    resolver: "_Resolver", item: Mapping[str, Any], described: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Parameters of a path and of its operation, of which the latter win."""
    found: dict[Any, Mapping[str, Any]] = {}
    for listed in (item.get("parameters"), described.get("parameters")):
        for parameter in listed if isinstance(listed, list) else []:
            parameter = resolver.resolve(parameter)
            if isinstance(parameter, Mapping):
                found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
    return iter(found.values())


def _schema_of(resolver: "_Resolver", parameter: Mapping[str, Any]) -> dict[str, Any]:
    schema = parameter.get("schema")
    content = parameter.get("content")
    if schema is None and isinstance(content, Mapping) and content:
        first = next(iter(content.values()))
        schema = first.get("schema") if isinstance(first, Mapping) else None
    if schema is None:  # Swagger 2 has the schema in the parameter
        schema = {key: parameter[key] for key in _KEPT_OF_PARAMETER if key in parameter}
    written = resolver.write_out(schema)
    described = parameter.get("description")
    return {**({"description": described} if isinstance(described, str) else {}), **written}


class _Resolver:
    """Follows the local references of a document; remote ones describe nothing."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._num_nodes = 0

    def resolve(self, value: Any) -> Any:
        """The value, with its reference followed."""
        for _ in range(_MAX_REFERENCES):
            reference = value.get("$ref") if isinstance(value, Mapping) else None
            if not isinstance(reference, str):
                return value
            value = self._target(reference)
        return {}

    def _target(self, reference: str) -> Any:
        target: Any = self._document if reference.startswith("#/") else {}
        for part in reference[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            target = target.get(part) if isinstance(target, Mapping) else None
        return target if target is not None else {}

    def write_out(self, schema: Any) -> dict[str, Any]:
        """A schema with its references written out; past the limits it describes nothing."""
        self._num_nodes = 0
        written = self._write_out(schema, ())
        return written if isinstance(written, dict) else {}

    def _write_out(self, value: Any, followed: tuple[str, ...]) -> Any:
        self._num_nodes += 1
        if self._num_nodes > _MAX_NODES:
            return {}
        if isinstance(value, Mapping):
            reference = value.get("$ref")
            if isinstance(reference, str):
                if reference in followed or len(followed) >= _MAX_REFERENCES:
                    return {}  # a schema within itself is anything
                beside = {key: item for key, item in value.items() if key != "$ref"}
                target = self._write_out(self._target(reference), (*followed, reference))
                return {**target, **beside} if isinstance(target, dict) else target
            written = {str(key): self._write_out(item, followed) for key, item in value.items() if key != "example"}
            return _merged(written) if isinstance(written.get("allOf"), list) else written
        if isinstance(value, list):
            return [self._write_out(item, followed) for item in value]
        return value


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose `allOf` lists nothing but objects with fields as one object; any other schema as it is."""
    parts = [*schema["allOf"], {key: value for key, value in schema.items() if key != "allOf"}]
    if not all(isinstance(part, dict) and part.keys() <= _OBJECT_KEYS for part in parts):
        return schema
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in parts:
        fields, required = part.get("properties") or {}, part.get("required") or []
        if part.get("type", "object") != "object" or not isinstance(fields, dict) or not isinstance(required, list):
            return schema
        if any(merged["properties"].setdefault(name, field) != field for name, field in fields.items()):
            return schema
        merged["required"] += [name for name in required if name not in merged["required"]]
        merged |= {key: part[key] for key in ("title", "description") if key in part}
    return merged
