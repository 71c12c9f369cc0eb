"""Imperfect demonstrations of the multi-turn world, in several styles of reasoning.

`careful` states what a result told before it uses it, and is nearly always right. `quick` names the next tool only: it
errs, or stops, more often at every step. `guess` makes up what it would have to look up. A policy that imitates them has
something to find out: looking things up and writing them down pays.
"""

import json
import random
from typing import Any, NamedTuple

from demonstrations import render_call

from egpo_trl.demo import multi_turn_world as world
from egpo_trl.demo.multi_turn_world import DONE, QUESTION, REFUSAL, Scenario, Step, schemas
from egpo_trl.environments import ENVIRONMENTS
from egpo_trl.environments.protocol import tool_methods
from egpo_trl.tool_calls.calls import ToolCall

STYLES = {"careful": 0.3, "quick": 0.45, "guess": 0.25}  # style -> share of the demonstrations
_SLIPS = {"careful": 0.02, "quick": 0.1, "guess": 0.15}  # share of steps with a wrong value
_STOPS = {"careful": 0.01, "quick": 0.08, "guess": 0.1}  # share of steps after which the work stops too early
_ACTS = {"careful": 0.05, "quick": 0.3, "guess": 0.7}  # share of calls where a question or a refusal is right

# The values that an argument takes, by its name: for values that nobody looked up.
POOLS: dict[str, tuple[Any, ...]] = {
    "name": tuple(world.FILES),
    "folder": tuple(world.FOLDERS),
    "source": tuple(world.FOLDERS),
    "target": tuple(world.FOLDERS),
    "text": tuple(world.TEXTS),
    "customer": tuple(world.CUSTOMERS),
    "ticket": world.NUMBERS,
    "order": world.NUMBERS,
    "topic": tuple(world.TOPICS),
    "agent": tuple(world.AGENTS),
    "priority": ("low", "high"),
    "company": tuple(world.COMPANIES),
    "symbol": tuple(world.SYMBOLS),
    "shares": world.SHARES,
}


class Turn(NamedTuple):
    """What the assistant writes, without the end-of-turn token, and its call with the result."""

    text: str
    call: ToolCall | None = None
    result: str = ""


def _plain(value: Any) -> str:
    return json.dumps(value).strip('"')


def _bound(step: Step) -> str:
    return " ".join(f"{name}={_plain(value)}" for name, value in step.arguments.items())


def _with_slip(rng: random.Random, step: Step) -> Step:
    """The step with one argument replaced by another value of its kind."""
    name = rng.choice(list(step.arguments))
    return step._replace(arguments={**step.arguments, name: rng.choice(POOLS[name])})


def _guessed(rng: random.Random, scenario: Scenario) -> list[Step]:
    """The last step alone, with made-up values for what nobody looked up."""
    last = scenario.steps[-1]
    made_up = {name: rng.choice(POOLS[name]) for name in last.learned}
    return [last._replace(arguments={**last.arguments, **made_up})]


def _needless(rng: random.Random, scenario: Scenario) -> list[Step]:
    """A call where a question or a refusal is right."""
    tool = rng.choice(scenario.tools)
    said = set(" ".join(scenario.turns).replace(".", " ").replace(",", " ").split())
    arguments = {}
    for name in schemas(scenario.environment)[tool]["function"]["parameters"]["properties"]:
        named = [value for value in POOLS[name] if str(value) in said]
        arguments[name] = rng.choice(named or POOLS[name])
    return [Step(tool, arguments)]


def _thought(style: str, step: Step, result: str) -> str:
    if style == "guess":
        return f"maybe {step.tool}"
    if style == "quick":
        return f"then {step.tool}"
    told = json.loads(result) if result else {}
    learned = "".join(f"{name} is {_plain(value)}, " for name, value in told.items())
    return f"{learned}so {step.tool}: {_bound(step)}"


def demonstrate(rng: random.Random, scenario: Scenario) -> list[Turn]:
    """
    A whole rollout for a scenario, its calls executed in an environment, in a style drawn by [`STYLES`].

    Args:
        rng (`random.Random`):
            Source of randomness.
        scenario ([`Scenario`]):
            The scenario.

    Returns:
        `list[Turn]`:
            Turns of the assistant; the last one is text.
    """
    style = rng.choices(list(STYLES), list(STYLES.values()))[0]
    steps = list(scenario.steps)
    if not steps:
        steps = _needless(rng, scenario) if rng.random() < _ACTS[style] else []
    elif style == "guess" and len(steps) > 1 and rng.random() < 0.6:
        steps = _guessed(rng, scenario)
    environment = ENVIRONMENTS[scenario.environment]()
    environment.reset(initial_state=json.dumps(scenario.state))
    tools = tool_methods(environment)
    turns: list[Turn] = []
    result = ""
    for step in steps:
        if turns and rng.random() < _STOPS[style]:
            break
        if rng.random() < _SLIPS[style]:
            step = _with_slip(rng, step)
        text = f"<think>{_thought(style, step, result)}</think>\n\n{render_call(step.tool, step.arguments)}"
        result = tools[step.tool](**step.arguments)
        turns.append(Turn(text, ToolCall(step.tool, step.arguments), result))
        if "error" in json.loads(result):
            break
    if turns:
        thought = {"careful": "that was the last step", "quick": "done", "guess": "maybe done"}[style]
        answer = DONE
    else:
        reason = {QUESTION: "something is missing", REFUSAL: "no tool can do that"}[scenario.answer]
        thought = {"careful": reason, "quick": "stop", "guess": "maybe stop"}[style]
        answer = scenario.answer
    turns.append(Turn(f"<think>{thought}</think>\n\n{answer}"))
    return turns
