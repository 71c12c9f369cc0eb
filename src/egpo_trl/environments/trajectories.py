"""Checks rows with a reference trajectory, and turns them into canonical rows of single steps."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..tool_calls.calls import ToolCall, parse_tools
from .protocol import offered_schemas
from .replay import parse_forbidden, parse_trajectory, replay

Factories = Mapping[Any, Callable[[], Any]]


def trajectory_problem(row: Mapping[str, Any], environments: Factories) -> str | None:
    """What is wrong with a trajectory row; `environments` is `{None: factory}` where rows name none, as in TRL."""
    name = None if None in environments else row.get("environment")
    if name not in environments:
        return f"field 'environment': {name!r} is not one of {list(environments)}"
    try:
        replay(environments[name], row)
        offered = None if row.get("tools") is None else parse_tools(row["tools"])
        called = [call.name for step in parse_trajectory(row["trajectory"]) for call in step]
    except Exception as error:  # an environment may refuse a row with any error
        return f"field 'trajectory': {error}"
    hidden = [call for call in called if offered is not None and call not in offered]
    if hidden:
        return f"field 'trajectory': {hidden[0]!r} is not among its tools"
    try:
        forbidden = parse_forbidden(row.get("forbidden"))
    except ValueError as error:
        return f"field 'forbidden': {error}"
    refused = [call for call in called if call in forbidden]
    return f"field 'forbidden': its trajectory calls {refused[0]!r}" if refused else None


def step_messages(calls: Sequence[ToolCall], results: Sequence[str]) -> list[dict[str, Any]]:
    """One step as messages, a turn of the assistant and the tool results; arguments are JSON strings, as in rows."""
    tool_calls = [
        {"type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in calls
    ]
    told = [
        {"role": "tool", "name": call.name, "content": result} for call, result in zip(calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": "", "tool_calls": tool_calls}, *told]


def stepwise_rows(rows: Iterable[Mapping[str, Any]], environments: Factories) -> Iterator[dict[str, Any]]:
    """One canonical row for each step of each trajectory, with the history as prompt."""
    for index, row in enumerate(rows):
        problem = trajectory_problem(row, environments)
        if problem is not None:
            row_id = f" (id {row['id']!r})" if row.get("id") is not None else ""
            raise ValueError(f"row {index}{row_id}, {problem}")
        factory = environments[None if None in environments else row["environment"]]
        results = replay(factory, row).results
        tools = json.dumps(offered_schemas(factory(), row.get("tools")))
        history = list(row["prompt"])
        for at, (calls, told) in enumerate(zip(parse_trajectory(row["trajectory"]), results, strict=True), 1):
            reference = [call._asdict() for call in calls]
            kept = {name: row[name] for name in ("source", "kind") if row.get(name) is not None}
            yield {
                "prompt": list(history),
                "tools": tools,
                "reference": json.dumps(reference),
                "id": f"{row.get('id', index)}#{at}",
                **kept,
            }
            history += step_messages(calls, told)
