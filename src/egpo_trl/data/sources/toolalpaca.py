"""ToolAlpaca: one API with its OpenAPI `Documentation`, and `Instances` of a request with the steps that answer it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...tool_calls.calls import InvalidJSON, ToolCall, load_json
from ..assistant_text import call_of
from ..json_schema import to_tools
from ..openapi import read_operations
from ..records import Unconvertible
from .conversation import Conversation, Row, json_field

FIELDS = (
    "Documentation",
    "Function_Projection",
    "Function_Description",
    "Instances",
    "Instructions",
    "Golden_Answers",
)
_PARAMETERS = re.compile(r"Parameters:\s*(\{.*?\})\s*(?:\nOutput|\Z)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}|\"\{[\w ]*\}\"")  # such as `${id from search}`: nobody knows the value
_TYPE = re.compile(r"\b(string|integer|number|boolean|array|object)\b", re.IGNORECASE)


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    answers = next((name for name in ("Instances", "Golden_Answers") if record.get(name) is not None), None)
    return f"it has `Function_Description` and `{answers}`" if answers and "Function_Description" in record else None


def parts(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The record once for each of its requests, which are converted or skipped on their own."""
    shared = {
        key: value for key, value in record.items() if key not in ("Instances", "Instructions", "Golden_Answers")
    }
    instances = record.get("Instances")
    for instance in instances if isinstance(instances, list) else []:
        yield {**shared, "instance": instance}
    instructions, answers = record.get("Instructions"), record.get("Golden_Answers")
    if isinstance(instructions, list) and isinstance(answers, list):
        for instruction, answer in zip(instructions, answers, strict=False):
            yield {**shared, "instance": {"input": instruction, "golden": answer}}


def convert_record(record: Mapping[str, Any]) -> list[Row]:
    """Rows of one request of [`parts`]; see [`~egpo_trl.data.sources.convert`]."""
    conversation = Conversation(_functions(record), "Instances")
    instance = record.get("instance")
    if not isinstance(instance, Mapping):
        raise Unconvertible("Instances", "must hold objects with 'input' and 'intermediate_steps'")
    conversation.add_text("user", instance.get("input"))
    if "golden" in instance:
        golden = instance["golden"]
        calls = [_call(step.get("Action"), step.get("Action_Input")) for step in _objects(golden, "Golden_Answers")]
        conversation.add_calls(calls)
        return conversation.rows()
    for step in instance.get("intermediate_steps") or []:
        if not isinstance(step, list) or len(step) != 2 or not isinstance(step[0], list) or len(step[0]) < 2:
            raise Unconvertible("Instances", "a step must be an action with its input, and what it returned")
        conversation.add_calls([_call(step[0][0], step[0][1])])
        conversation.add_result(step[1])
    output = instance.get("output")
    if isinstance(output, str) and output.strip():
        conversation.add_assistant(output)
    return conversation.rows()


def _call(name: Any, given: Any) -> ToolCall:
    if isinstance(given, str) and _PLACEHOLDER.search(given):
        raise Unconvertible("Instances", f"the input of {str(name)[:40]!r} has a placeholder instead of a value")
    try:
        return call_of({"name": name, "arguments": given})
    except ValueError as error:
        raise Unconvertible("Instances", f"the input of {str(name)[:40]!r} cannot be read: {error}") from None


def _objects(value: Any, field: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise Unconvertible(field, "must be a list of actions")
    return value


def _functions(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Functions by the OpenAPI document where it can be read, else by their descriptions."""
    described = record.get("Function_Description")
    names = record.get("Function_Projection")
    if not isinstance(described, Mapping):
        raise Unconvertible("Function_Description", "must be an object")
    try:
        operations = {(op.path, op.method): op.schema for op in read_operations(json_field(record, "Documentation"))}
    except ValueError:
        operations = {}
    tools = []
    for name, text in described.items():
        if not isinstance(text, str) or name == "components":
            continue
        place = names.get(name) if isinstance(names, Mapping) else None
        key = (str(place[0]), str(place[1]).lower()) if isinstance(place, list) and len(place) == 2 else None
        known = operations.get(key) if key else None
        function = {**known["function"], "name": name} if known else {"name": name, **_from_description(text)}
        tools.append(function)
    try:
        return to_tools(tools)
    except ValueError as error:
        raise Unconvertible("Function_Description", str(error)) from None


def _from_description(text: str) -> dict[str, Any]:
    """Description and parameters of a function that only a text describes: `Parameters: {"a": "Required. string. …"}`."""
    found = _PARAMETERS.search(text)
    try:
        given = load_json(found[1]) if found else {}
    except InvalidJSON:
        given = {}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, about in given.items() if isinstance(given, dict) else ():
        kind = _TYPE.search(str(about))
        properties[name] = {"description": str(about), **({"type": kind[1].lower()} if kind else {})}
        required += [name] if str(about).lower().startswith("required") else []
    schema = {"type": "object", "properties": properties, "required": required}
    return {"description": text.split("\nParameters:", 1)[0].strip(), "parameters": schema}
