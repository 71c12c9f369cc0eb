"""Makes rows of the embedded world: queries to eight tools, and the calls that answer them."""

import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Drawn = TypeVar("Drawn")

CITIES = "Berlin Cairo Delhi Lima London Madrid Oslo Paris Prague Quito Rome Seoul Sydney Tokyo Vienna Warsaw".split()
CURRENCIES = "AUD BRL CAD CHF CNY EUR GBP INR JPY USD".split()
LANGUAGES = "Dutch English French German Italian Spanish".split()
WORDS = "apple bread cloud dream forest garden house island river stone summer window".split()
NAMES = "Ada Ben Carla Dina Emil Fatima George Hana Ivan Julia Kofi Lena".split()
TEXTS = "hello goodbye thanks sorry ready waiting arrived delayed congratulations tomorrow".split()
ARTISTS = "Bach Beyonce Bowie Coltrane Dylan Fela Mozart Prince Rihanna Shakira".split()
RESTAURANTS = "Aroma Bistro Cantina Dolce Ember Fresco Grotto Harbor".split()
LABELS = "bath bike bread cake eggs laundry nap pasta rice run tea yoga".split()
AMOUNTS = (5, 10, 20, 25, 40, 50, 75, 100, 120, 150, 200, 250, 300, 400, 500, 750)
SMALL = tuple(range(2, 13))
MINUTES = (3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 60, 75, 90)

NO_TOOL_ANSWER = "No listed tool fits this request."


@dataclass(frozen=True)
class Tool:
    """A function of the world; a call leaves out the parameters that a wording neither names in braces nor implies."""

    name: str
    description: str
    parameters: dict[str, dict[str, Any]]
    values: dict[str, Sequence[Any]]
    wordings: Sequence[str | tuple[str, dict[str, Any]]]  # a sentence, or one with arguments that it implies
    optional: tuple[str, ...] = ()

    @property
    def required(self) -> list[str]:
        return [parameter for parameter in self.parameters if parameter not in self.optional]

    def schema(self) -> dict[str, Any]:
        parameters = {"type": "object", "properties": self.parameters, "required": self.required}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


_STRING, _INTEGER, _NUMBER, _BOOLEAN = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))

TOOLS = (
    Tool(
        "convert_currency",
        "Convert an amount of money.",
        {"amount": _NUMBER, "base": _STRING, "target": _STRING},
        {"amount": AMOUNTS, "base": CURRENCIES, "target": CURRENCIES},
        [
            "Convert {amount} {base} to {target}.",
            "What is {amount} {base} worth in {target}?",
            "How many {target} do I get for {amount} {base}?",
            "I need {target} and have {amount} {base}.",
            "Buy {target} with {base}, {amount} of them.",
        ],
    ),
    Tool(
        "get_weather",
        "Get a weather forecast.",
        {"city": _STRING, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}, "days": _INTEGER},
        {"city": CITIES, "unit": ("celsius", "fahrenheit"), "days": SMALL},
        [
            "How is the weather in {city}?",
            "Weather in {city} in {unit}, please.",
            "Give me {days} days of weather for {city}.",
            "In {unit}, how warm is {city} over {days} days?",
        ],
        optional=("unit", "days"),
    ),
    Tool(
        "set_timer",
        "Set a timer.",
        {"minutes": _INTEGER, "label": _STRING},
        {"minutes": MINUTES, "label": LABELS},
        [
            "Set a timer for {minutes} minutes.",
            "Remind me in {minutes} minutes about the {label}.",
            "The {label} takes {minutes} minutes, set a timer.",
        ],
        optional=("label",),
    ),
    Tool(
        "send_message",
        "Send a message to somebody.",
        {"recipient": _STRING, "text": _STRING},
        {"recipient": NAMES, "text": TEXTS},
        ["Tell {recipient} {text}.", "Send {text} to {recipient}.", "Write {text} in a message for {recipient}."],
    ),
    Tool(
        "play_music",
        "Play an artist.",
        {"artist": _STRING, "shuffle": _BOOLEAN},
        {"artist": ARTISTS},
        [
            ("Play {artist} shuffled.", {"shuffle": True}),
            ("Shuffle everything by {artist}.", {"shuffle": True}),
            ("Play {artist} in order.", {"shuffle": False}),
            ("Without shuffling, put on {artist}.", {"shuffle": False}),
        ],
    ),
    Tool(
        "search_flights",
        "Search for flights.",
        {"origin": _STRING, "destination": _STRING, "passengers": _INTEGER},
        {"origin": CITIES, "destination": CITIES, "passengers": SMALL},
        [
            "Find a flight from {origin} to {destination}.",
            "Find a flight to {destination} from {origin}.",
            "We are {passengers} in {origin} and want to fly to {destination}.",
            "Fly {passengers} people to {destination}, starting in {origin}.",
        ],
        optional=("passengers",),
    ),
    Tool(
        "book_table",
        "Book a table in a restaurant.",
        {"restaurant": _STRING, "people": _INTEGER, "hour": _INTEGER},
        {"restaurant": RESTAURANTS, "people": SMALL, "hour": SMALL},
        [
            "Book {restaurant} for {people} at {hour}.",
            "At {hour} we are {people}, get us into {restaurant}.",
            "Reserve at {hour} in {restaurant}, party of {people}.",
        ],
    ),
    Tool(
        "translate",
        "Translate a word.",
        {"word": _STRING, "source": _STRING, "target": _STRING},
        {"word": WORDS, "source": LANGUAGES, "target": LANGUAGES},
        [
            "Translate {word} from {source} to {target}.",
            "What is the {target} for the {source} word {word}?",
            "Say the {source} {word} in {target}.",
        ],
    ),
)

KINDS = ("in order", "swapped", "two calls", "no tool")
_KIND_WEIGHTS = (30, 35, 20, 15)


@dataclass(frozen=True)
class Request:
    """One thing that a query asks for: the tool, its arguments in the order of the signature and of the wording."""

    tool: Tool
    sentence: str
    arguments: dict[str, Any]
    spoken: tuple[str, ...]  # parameters in the order of the query, implied ones last

    @property
    def in_order(self) -> bool:
        """Whether the query names the arguments in the order of the signature."""
        return tuple(self.arguments) == self.spoken


@dataclass(frozen=True)
class Query:
    """A query with its candidate tools; no requests where none of them fits."""

    text: str
    kind: str
    tools: tuple[Tool, ...]
    requests: tuple[Request, ...]

    def row(self, row_id: str) -> dict[str, Any]:
        reference = [{"name": request.tool.name, "arguments": request.arguments} for request in self.requests]
        return {
            "prompt": [{"role": "user", "content": self.text}],
            "tools": json.dumps([tool.schema() for tool in self.tools]),
            "reference": json.dumps(reference),
            "id": row_id,
            "source": "egpo_trl.demo",
            "kind": self.kind,
        }


def make_request(rng: random.Random, tool: Tool) -> Request:
    wording = rng.choice(tool.wordings)
    sentence, implied = wording if isinstance(wording, tuple) else (wording, {})
    named = sorted((p for p in tool.values if "{" + p + "}" in sentence), key=lambda p: sentence.index("{" + p + "}"))
    values: dict[str, Any] = {}
    for parameter in named:
        taken = [value for other, value in values.items() if tool.values[other] == tool.values[parameter]]
        values[parameter] = rng.choice([value for value in tool.values[parameter] if value not in taken])
    values |= implied
    arguments = {parameter: values[parameter] for parameter in tool.parameters if parameter in values}
    return Request(tool, sentence.format(**values), arguments, tuple(values))


def make_query(rng: random.Random) -> Query:
    kind = rng.choices(KINDS, _KIND_WEIGHTS)[0]
    asked = rng.sample(TOOLS, 2 if kind == "two calls" else 1)
    requests = [make_request(rng, tool) for tool in asked]
    while kind in ("in order", "swapped") and requests[0].in_order != (kind == "in order"):
        requests = [make_request(rng, rng.choice(TOOLS))]
    asked = [request.tool for request in requests]
    others = rng.sample([tool for tool in TOOLS if tool not in asked], 3)
    tools = others if kind == "no tool" else asked + others[: 3 - len(asked)]
    rng.shuffle(tools)
    text = " And: ".join(request.sentence for request in requests)
    return Query(text, kind, tuple(tools), () if kind == "no tool" else tuple(requests))


def draw_distinct(
    num_rows: int, split: str, draw: Callable[[], Drawn], text: Callable[[Drawn], str], key: Callable[[Drawn], Any]
) -> list[Drawn]:
    """Draw things of one split that differ by `key`; the checksum of the text holds out a fifth, whatever the seeds."""
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    found: dict[Any, Drawn] = {}
    while len(found) < num_rows:
        drawn = draw()
        if (zlib.crc32(text(drawn).encode()) % 5 == 0) == (split == "test"):
            found.setdefault(key(drawn), drawn)
    return list(found.values())


def make_queries(num_rows: int, seed: int, split: str) -> list[Query]:
    """Draw different queries of one split."""
    rng = random.Random(f"{split}-{seed}")
    return draw_distinct(num_rows, split, lambda: make_query(rng), lambda query: query.text, lambda query: query.text)


def make_rows(num_rows: int, seed: int = 0, split: str = "train") -> list[dict[str, Any]]:
    """Draw canonical rows of one split, each with a different query and its `kind`."""
    queries = make_queries(num_rows, seed, split)
    return [query.row(f"{split}-{seed}-{index}") for index, query in enumerate(queries)]
