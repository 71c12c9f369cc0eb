"""Defines environments: TRL's protocol, whose public methods are tools, and a state that can be compared."""

import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, get_type_hints, runtime_checkable
from weakref import WeakKeyDictionary

from ..rollouts.tool_pool import ToolPool, tool_schema
from ..tool_calls.calls import InvalidJSON, load_json, parse_row_tools

NOT_TOOLS = ("reset", "get_reward")
_POOLS: WeakKeyDictionary[type, ToolPool] = WeakKeyDictionary()  # by class, which alone decides on schemas
MAX_TEXT = 1000  # characters of one text that a tool takes
MAX_ITEMS = 200  # files, tickets or orders that an environment holds


@runtime_checkable
class ToolEnvironment(Protocol):
    """
    An environment of tool calls, one instance for each rollout, used again after `reset`.

    A class may also have an attribute `tool_schemas` (`dict[str, dict]`): hand-written JSON function schemas of some of
    its methods, by name.
    """

    def reset(self, **row: Any) -> str | None:
        """Start from the `initial_state` of a row (JSON string), whose other columns are handed over too."""

    @property
    def state(self) -> Any:
        """Everything that the tools can change, as a JSON value."""


def reports_errors(method: Callable[..., Any]) -> Callable[..., str]:
    """
    Make a method a tool that takes whatever a model writes and answers in JSON.

    Arguments are checked against the annotations (`str`, `int`, `float` or `bool`; a bool is not a number, nor are NaN and
    infinity, texts have at most 1,000 characters). Whatever is wrong with them, and every `ValueError` of the method,
    becomes the answer `{"error": "…"}`; any other answer is the returned value.

    Args:
        method (`Callable`):
            Method with annotated parameters that returns a JSON value.

    Returns:
        `Callable`:
            Method with the same signature and docstring that returns compact JSON.
    """
    signature = inspect.signature(method)
    kinds = get_type_hints(method)

    @functools.wraps(method)
    def tool(self: Any, /, *args: Any, **arguments: Any) -> str:
        try:
            bound = signature.bind(self, *args, **arguments)
        except TypeError as error:
            return _dumps({"error": str(error)[:MAX_TEXT]})
        try:
            for name, value in list(bound.arguments.items())[1:]:
                _check_argument(name, value, kinds[name])
            return _dumps(method(*bound.args, **bound.kwargs))
        except ValueError as error:
            return _dumps({"error": str(error)})

    tool.__annotations__.pop("return", None)  # not part of the schema
    return tool


def _check_argument(name: str, value: Any, kind: type) -> None:
    wanted = (int, float) if kind is float else (kind,)
    if type(value) not in wanted:
        raise ValueError(f"{name} must be {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{name} must be finite")
    if kind is str and len(value) > MAX_TEXT:
        raise ValueError(f"{name} is too long")


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def tool_methods(environment: Any) -> dict[str, Callable[..., Any]]:
    """The tools of an environment by name, as TRL finds them."""
    return {
        name: getattr(environment, name)
        for name, _ in inspect.getmembers(type(environment), predicate=inspect.isfunction)
        if name not in NOT_TOOLS and not name.startswith("_")
    }


def tool_schemas(environment: Any) -> dict[str, dict[str, Any]]:
    """Function schemas of the tools of an environment by name, see [`tool_schema`]."""
    return {name: tool_schema(method) for name, method in tool_methods(environment).items()}


def offered_schemas(environment: Any, tools: Any) -> list[dict[str, Any]]:
    """Function schemas that a row offers of an environment."""
    pool = _POOLS.get(type(environment))
    if pool is None:
        pool = _POOLS[type(environment)] = ToolPool(list(tool_methods(environment).values()))
    return pool.offered(None if tools is None else parse_row_tools(tools) or [])


def decoded(value: Any, name: str) -> Any:
    """The value of a column that may be JSON text."""
    try:
        return load_json(value) if isinstance(value, str) else value
    except InvalidJSON as error:
        raise ValueError(f"{name}is not JSON: {error}") from None


def look_up(items: Mapping[str, Any], key: str, kind: str) -> Any:
    """An item, or the error that a tool reports where there is none."""
    if key not in items:
        raise ValueError(f"no such {kind}")
    return items[key]


def load_state(initial_state: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """The `initial_state` of a row."""
    value = {} if initial_state is None else decoded(initial_state, "initial_state ")
    if not isinstance(initial_state, str | None) or not isinstance(value, dict):
        raise ValueError("initial_state must be a JSON object")
    unknown = sorted(value.keys() - set(keys))
    if unknown:
        raise ValueError(f"initial_state has the key {unknown[0]!r}; expected some of {list(keys)}")
    for key, part in value.items():
        if not isinstance(part, dict) or len(part) > MAX_ITEMS:
            raise ValueError(f"initial_state: {key!r} must be an object of at most {MAX_ITEMS} items")
    return {key: value.get(key, {}) for key in keys}


def check_texts(part: Any, name: str) -> None:
    """Raise a `ValueError` for a part of an `initial_state` that is not an object of texts."""
    if not isinstance(part, dict) or not all(isinstance(text, str) for text in part.values()):
        raise ValueError(f"initial_state: {name} must map names to texts")
