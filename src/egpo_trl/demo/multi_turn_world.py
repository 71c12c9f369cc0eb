"""Makes rows of the embedded multi-turn world: requests to three environments, and the calls that serve them."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from ..environments import ENVIRONMENTS
from ..environments.protocol import tool_schemas
from .world import AMOUNTS, CURRENCIES, TEXTS, draw_distinct
from .world import NAMES as CUSTOMERS

AGENTS = "Lars Mona Nils Olga Pavel Rosa Sven Tara".split()
TOPICS = "billing delivery login network printer refund security warranty".split()
FOLDERS = "archive desk drafts inbox music photos school work".split()
FILES = "agenda budget diary essay invoice letter menu notes outline poem recipe report".split()
COMPANIES = "Acme Boreal Cobalt Delta Everest Falcon Granite Helix Indigo Juniper Krypton Lotus".split()
SYMBOLS = CURRENCIES  # three capital letters, dealt anew to the companies of each row
NUMBERS = tuple(range(100, 300))  # of tickets and orders
SHARES = AMOUNTS
PRICES = (2, 3, 5, 8)

QUESTION = "I need more details."
REFUSAL = "No listed tool can do that."
DONE = "Done."
NUM_OFFERED = 4  # functions that a row offers


class Step(NamedTuple):
    """One call, and those of its arguments that only an earlier result tells."""

    tool: str
    arguments: dict[str, Any]
    learned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A request, the state that it meets, and the steps that serve it; none where it takes a question or a refusal."""

    environment: str
    state: dict[str, Any]
    turns: tuple[str, ...]  # what the user says; between two turns the assistant asked for more
    steps: tuple[Step, ...]
    tools: tuple[str, ...]
    answer: str  # the text that ends it
    kind: str

    def row(self, row_id: str) -> dict[str, Any]:
        """The row: canonical, with `environment`, `initial_state`, `trajectory` and the kind of scenario."""
        prompt = [{"role": "user", "content": self.turns[0]}]
        for turn in self.turns[1:]:
            prompt += [{"role": "assistant", "content": QUESTION}, {"role": "user", "content": turn}]
        calls = [{"name": step.tool, "arguments": step.arguments} for step in self.steps]
        return {
            "prompt": prompt,
            "tools": json.dumps([schemas(self.environment)[name] for name in self.tools]),
            "reference": json.dumps(calls),
            "environment": self.environment,
            "initial_state": json.dumps(self.state),
            "trajectory": json.dumps([*([call] for call in calls), []]),
            "id": row_id,
            "source": "egpo_trl.demo",
            "kind": self.kind,
        }


@lru_cache(maxsize=8)
def schemas(environment: str) -> dict[str, dict[str, Any]]:
    """Function schemas of one of the environments by name."""
    return tool_schemas(ENVIRONMENTS[environment]())


class _Task(NamedTuple):
    """
    A family of requests: full wordings, one that lacks something with what supplies it, and the calls.

    A call is written as the tool and its arguments; `name=key` takes another value than the one of its name, and `*` marks
    an argument that only an earlier result tells.
    """

    wordings: tuple[str, str]
    calls: tuple[str, ...]
    vague: tuple[str, str] | None = None

    def steps(self, values: dict[str, Any]) -> tuple[Step, ...]:
        steps = []
        for tool, *words in map(str.split, self.calls):
            pairs = [word.lstrip("*").partition("=") for word in words]
            arguments = {name: values[key or name] for name, _, key in pairs}
            learned = [name for word, (name, _, _) in zip(words, pairs, strict=True) if word[0] == "*"]
            steps.append(Step(tool, arguments, tuple(learned)))
        return tuple(steps)


_FILE_TASKS = (
    _Task(("Delete {name} in {folder}.", "In {folder}, delete {name}."), ("delete_file name folder",)),
    _Task(
        ("Find {name} and delete it.", "Delete {name}, wherever it is."),
        ("find_file name", "delete_file name *folder"),
    ),
    _Task(
        ("Move {name} to {target}.", "To {target} belongs {name}, move it."),
        ("find_file name", "move_file name *source=folder target"),
        ("Move {name}.", "To {target}."),
    ),
    _Task(
        ("Copy {name} from {folder} to {target}.", "Into {target} copy {name} of {folder}."),
        ("read_file name folder", "write_file name folder=target *text"),
        ("Copy {name} from {folder}.", "To {target}."),
    ),
    _Task(
        ("Copy {name} to {target}.", "Put a copy of {name} into {target}."),
        ("find_file name", "read_file name *folder", "write_file name folder=target *text"),
        ("Copy {name}.", "To {target}."),
    ),
)
_TICKET_TASKS = (
    _Task(("Close ticket {ticket}.", "Ticket {ticket} is solved, close it."), ("close_ticket ticket",)),
    _Task(
        ("Close the ticket of {customer}.", "{customer} is happy, close the ticket."),
        ("find_ticket customer", "close_ticket *ticket"),
    ),
    _Task(
        ("Set the ticket of {customer} to {priority}.", "Make it {priority} for {customer}."),
        ("find_ticket customer", "set_priority *ticket priority"),
        ("Change the priority for {customer}.", "To {priority}."),
    ),
    _Task(
        ("Give ticket {ticket} to the expert for {topic}.", "Somebody for {topic} must take ticket {ticket}."),
        ("find_agent topic", "assign_ticket ticket *agent"),
        ("Give ticket {ticket} to an expert.", "For {topic}."),
    ),
    _Task(
        ("{customer} needs an expert for {topic}.", "Give the ticket of {customer} to the expert for {topic}."),
        ("find_ticket customer", "find_agent topic", "assign_ticket *ticket *agent"),
        ("{customer} needs an expert.", "For {topic}."),
    ),
)
_TRADING_TASKS = (
    _Task(
        ("Buy {shares} {symbol}.", "Of {symbol}, buy {shares}."),
        ("buy symbol shares",),
        ("Buy some {symbol}.", "{shares} of them."),
    ),
    _Task(
        ("Buy {shares} shares of {company}.", "I want {shares} {company} shares."),
        ("find_symbol company", "buy *symbol shares"),
        ("Buy shares of {company}.", "{shares} of them."),
    ),
    _Task(
        ("Cancel the order for {symbol}.", "I no longer want the order for {symbol}."),
        ("find_order symbol", "cancel_order *order"),
    ),
    _Task(
        ("Cancel the order for {company}.", "Forget the order for {company}."),
        ("find_symbol company", "find_order *symbol", "cancel_order *order"),
    ),
    _Task(
        ("Sell everything of {company}.", "Get rid of all {company} shares."),
        ("find_symbol company", "get_holding *symbol", "sell *symbol *shares=held"),
    ),
)


def _draw_files(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    folder, target, other = rng.sample(FOLDERS, 3)
    name, another = rng.sample(FILES, 2)
    text, other_text = rng.sample(TEXTS, 2)
    folders = {folder: {name: text}, target: {}, other: {another: other_text}}
    shuffled = rng.sample(sorted(folders), 3)
    values = {"name": name, "folder": folder, "target": target, "text": text}
    return values, {"folders": {key: folders[key] for key in shuffled}}


def _draw_tickets(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    customers, numbers = rng.sample(CUSTOMERS, 2), rng.sample(NUMBERS, 2)
    agents, topics = rng.sample(AGENTS, 3), rng.sample(TOPICS, 3)
    tickets = {
        str(number): {"customer": customer, "status": "open", "priority": "normal", "agent": ""}
        for number, customer in sorted(zip(numbers, customers, strict=True))
    }
    values = {"customer": customers[0], "ticket": numbers[0], "topic": topics[0], "agent": agents[0]}
    values["priority"] = rng.choice(("low", "high"))
    return values, {"tickets": tickets, "agents": dict(sorted(zip(topics, agents, strict=True)))}


def _draw_account(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    companies, symbols = rng.sample(COMPANIES, 2), rng.sample(SYMBOLS, 2)
    held, other = rng.sample(SHARES, 2)
    first, second = sorted(rng.sample(NUMBERS, 2))
    values = {"company": companies[0], "symbol": symbols[0], "held": held, "order": first}
    values["shares"] = rng.choice(SHARES)
    state = {
        "account": {"cash": 10_000},
        "companies": dict(sorted(zip(companies, symbols, strict=True))),
        "prices": {symbol: rng.choice(PRICES) for symbol in sorted(symbols)},
        "holdings": {symbols[0]: held, symbols[1]: other},
        "orders": {
            str(first): {"symbol": symbols[0], "shares": held},
            str(second): {"symbol": symbols[1], "shares": other},
        },
    }
    return values, state


_WORLDS: dict[str, tuple[Callable[[random.Random], tuple[dict[str, Any], dict[str, Any]]], tuple[_Task, ...]]] = {
    "file_system": (_draw_files, _FILE_TASKS),
    "ticket_desk": (_draw_tickets, _TICKET_TASKS),
    "trading_account": (_draw_account, _TRADING_TASKS),
}
KINDS = ("one step", "two steps", "three steps", "follow-up", "missing parameter", "missing function")
_KIND_WEIGHTS = (15, 35, 25, 8, 9, 8)
_STEPS = {"one step": 1, "two steps": 2, "three steps": 3}


def make_scenario(rng: random.Random) -> Scenario:
    """Draw a scenario: its kind, its request, the state that it meets, and the functions on offer."""
    kind = rng.choices(KINDS, _KIND_WEIGHTS)[0]
    needs_vague = kind in ("follow-up", "missing parameter")
    while True:
        environment = rng.choice(list(_WORLDS))
        draw, tasks = _WORLDS[environment]
        task = rng.choice(tasks)
        values, state = draw(rng)
        steps = task.steps(values)
        if (task.vague or not needs_vague) and len(steps) == _STEPS.get(kind, len(steps)):
            break
    turns: tuple[str, ...] = (rng.choice(task.wordings),)
    if needs_vague:
        turns = rng.choice([task.vague or turns])[: 2 if kind == "follow-up" else 1]
    needed = list(dict.fromkeys(step.tool for step in steps))
    scenario = Scenario(environment, state, tuple(turn.format(**values) for turn in turns), steps, (), DONE, kind)
    if kind == "missing parameter":
        scenario = replace(scenario, steps=(), answer=QUESTION)
    elif kind == "missing function":
        scenario = replace(scenario, steps=(), answer=REFUSAL)
        needed.pop()  # the one that acts
    acts = {step.tool for step in steps}
    others = [name for name in schemas(environment) if name not in acts]
    offered = needed + rng.sample(others, min(len(others), NUM_OFFERED - len(needed)))
    rng.shuffle(offered)
    return replace(scenario, tools=tuple(offered))


def make_scenarios(num_rows: int, seed: int, split: str) -> list[Scenario]:
    """Draw scenarios of one split; what the user says is never the same in both."""
    rng = random.Random(f"multi-turn-{split}-{seed}")

    def key(scenario: Scenario) -> tuple[Any, ...]:
        return scenario.turns, json.dumps(scenario.state), scenario.tools

    return draw_distinct(num_rows, split, lambda: make_scenario(rng), lambda scenario: scenario.turns[0], key)


def make_rows(num_rows: int, seed: int = 0, split: str = "train") -> list[dict[str, Any]]:
    """Draw rows of one split: canonical, with `environment`, `initial_state`, `trajectory` and `kind`."""
    scenarios = make_scenarios(num_rows, seed, split)
    return [scenario.row(f"multi-turn-{split}-{seed}-{index}") for index, scenario in enumerate(scenarios)]
