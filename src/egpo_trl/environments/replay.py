"""Reference trajectories: the calls of every step, and what they give in a fresh environment."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..rollouts.tool_guard import EventLoops, ToolError, ToolGuard, ToolLimits
from ..tool_calls.argument_types import wrong_type
from ..tool_calls.calls import InvalidJSON, ToolCall, load_json, parse_reference, parse_tools
from ..tool_calls.completions import text_of
from ..tool_calls.matching import Schema
from .protocol import decoded, offered_schemas, tool_methods

MAX_STEPS = 64
DEFAULT_LIMITS = ToolLimits(timeout=30.0, max_characters=8192)  # those of EGPOConfig

Step = tuple[ToolCall, ...]


class Replay(NamedTuple):
    """What the calls of a trajectory gave."""

    results: tuple[tuple[str, ...], ...]
    state: Any


def parse_trajectory(trajectory: Any) -> tuple[Step, ...]:
    """Reference steps of a row."""
    value = decoded(trajectory, "")
    if not isinstance(value, list) or not 0 < len(value) <= MAX_STEPS:
        raise ValueError(f"must be a list of 1 to {MAX_STEPS} steps, each a list of calls")
    steps = []
    for position, step in enumerate(value):
        try:
            if not isinstance(step, list):
                raise ValueError("must be a list of calls")
            steps.append(parse_reference(step))
        except ValueError as error:
            raise ValueError(f"step {position + 1}: {error}") from None
    if any(not step for step in steps[:-1]) or steps[-1]:
        raise ValueError("the last step, and only that one, must be empty: a text ends the rollout")
    return tuple(steps)


def parse_forbidden(forbidden: Any) -> frozenset[str]:
    """Names of a `forbidden` column."""
    value = decoded(forbidden, "forbidden ")
    if value is not None and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise ValueError("forbidden must be a JSON list of function names")
    return frozenset(value or ())


def start(factory: Callable[[], Any], row: Mapping[str, Any]) -> Any:
    """A fresh environment, reset with a row as TRL does it."""
    environment = factory()
    environment.reset(**{key: value for key, value in row.items() if key != "environment"})
    return environment


def replay(factory: Callable[[], Any], row: Mapping[str, Any], limits: ToolLimits = DEFAULT_LIMITS) -> Replay:
    """Execute the trajectory of a row in a fresh environment."""
    steps = parse_trajectory(row.get("trajectory"))
    environment = start(factory, row)
    tools, guard = tool_methods(environment), ToolGuard(limits, EventLoops(), lambda *_: None)
    schemas = _schemas_of(environment, row.get("tools"))
    results = []
    for position, step in enumerate(steps):
        told = []
        for call in step:
            if call.name not in tools:
                raise ValueError(f"step {position + 1}: the environment does not define the tool {call.name!r}")
            problem = wrong_type(call.arguments, schemas.get(call.name, {}))
            if problem is not None:  # of which a rollout would be refused
                raise ValueError(f"step {position + 1}: {call.name}: {problem}")
            try:
                told.append(text_of(guard.call(call.name, tools[call.name], call.arguments)))
            except ToolError as error:
                raise ValueError(f"step {position + 1}: {call.name} failed: {error}") from None
            if is_error(told[-1]):
                raise ValueError(f"step {position + 1}: {call.name} failed: {told[-1][:200]}")
        results.append(tuple(told))
    return Replay(tuple(results), environment.state)


def _schemas_of(environment: Any, tools: Any) -> Mapping[str, Schema]:
    """Parameter schemas of what a row offers; none for an environment without schemas, which the trainer refuses."""
    try:
        return parse_tools(offered_schemas(environment, tools))
    except ValueError:
        return {}


def is_error(text: str) -> bool:
    """Whether a result is a message of the form `{"error": …}`."""
    try:
        value = load_json(text)
    except InvalidJSON:
        return False
    return isinstance(value, dict) and value.keys() == {"error"}
