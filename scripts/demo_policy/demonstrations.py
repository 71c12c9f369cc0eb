"""Imperfect demonstrations: the tiny policy starts with several styles of reasoning, some better than others.

`bind` names each argument with its value and is nearly always right. `list` copies the values as the query orders
them, so its calls are wrong where the signature orders them otherwise. `guess` names the tool only, and errs often. A
policy that imitates them has something to find out: thinking in the first style pays.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from egpo_trl.demo.world import NO_TOOL_ANSWER, Query, Request, Tool


@dataclass(frozen=True)
class Manner:
    """How good demonstrations are: the share of each style, and of calls with an error beyond the style's own."""

    styles: Mapping[str, float] = field(default_factory=lambda: {"bind": 0.2, "list": 0.45, "guess": 0.35})
    errors: Mapping[str, float] = field(default_factory=lambda: {"bind": 0.02, "list": 0.15, "guess": 0.6})

    def draw(self, rng: random.Random) -> str:
        """A style."""
        return rng.choices(list(self.styles), list(self.styles.values()))[0]


SHIPPED = Manner()


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def render_call(name: str, arguments: dict[str, Any]) -> str:
    """A call in the syntax of the Hermes family."""
    return f"<tool_call>\n{_dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def _listed(request: Request) -> dict[str, Any]:
    """Arguments as one fills them who reads the query's values from left to right, type by type."""
    spoken = [request.arguments[parameter] for parameter in request.spoken]
    arguments = {}
    for parameter, right in request.arguments.items():
        value = next(v for v in spoken if type(v) is type(right))
        spoken.remove(value)
        arguments[parameter] = value
    return arguments


def _with_error(rng: random.Random, arguments: dict[str, Any], tool: Tool) -> dict[str, Any]:
    """The arguments with one slip: one left out, or one replaced by another value of its parameter."""
    wrong = dict(arguments)
    parameter = rng.choice(list(wrong))
    if rng.random() < 0.4:
        del wrong[parameter]
    elif parameter in tool.values:
        wrong[parameter] = rng.choice(tool.values[parameter])
    else:
        wrong[parameter] = not wrong[parameter]
    return wrong


def _thought(style: str, request: Request, arguments: dict[str, Any]) -> str:
    name = request.tool.name
    if style == "guess":
        return f"maybe {name}"
    if style == "list":
        values = " ".join(_dumps(request.arguments[parameter]).strip('"') for parameter in request.spoken)
        return f"{name} with {values}"
    bound = " ".join(f"{key}={_dumps(value)}".replace('"', "") for key, value in arguments.items())
    return f"call {name}: {bound}"


def demonstrate(rng: random.Random, query: Query, manner: Manner = SHIPPED) -> str:
    """Chain of thought and answer for a query, without the end-of-turn token."""
    style = manner.draw(rng)
    if not query.requests and (style == "bind" or rng.random() > manner.errors[style]):
        thought = {"bind": "no tool can do that", "list": "nothing to list", "guess": "maybe nothing"}[style]
        return f"<think>{thought}</think>\n\n{NO_TOOL_ANSWER}"
    requests = list(query.requests)
    if not requests:  # a call nobody asked for
        tool = rng.choice(query.tools)
        arguments = {parameter: rng.choice(tool.values.get(parameter, (True,))) for parameter in tool.required}
        requests = [Request(tool, "", arguments, tuple(arguments))]
    thoughts, calls = [], []
    for request in requests:
        arguments = _listed(request) if style == "list" else dict(request.arguments)
        if rng.random() < manner.errors[style]:
            arguments = _with_error(rng, arguments, request.tool)
        thoughts.append(_thought(style, request, arguments))
        calls.append(render_call(request.tool.name, arguments))
    if style == "guess" and len(calls) > 1 and rng.random() < 0.3:
        calls.pop()
    return f"<think>{'; '.join(thoughts)}</think>\n\n" + "\n".join(calls)
