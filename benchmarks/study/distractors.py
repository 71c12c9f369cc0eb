"""A world of sixteen tools in look-alike pairs, ten of them offered, and thoughts that go through the candidates."""

import random
from dataclasses import replace

from demonstrations import Manner, demonstrate

from egpo_trl.demo.world import KINDS, TOOLS, Query, Tool, draw_distinct, make_request

OFFERED = 10
_KIND_WEIGHTS = (30, 35, 20, 15)  # as in the embedded world


def _twin(original: str, name: str, description: str, *wordings: str, shuffle: tuple[bool, ...] = ()) -> Tool:
    """A tool with the parameters of another one; `shuffle` gives the implied value of each wording."""
    tool = next(tool for tool in TOOLS if tool.name == original)
    implied = [{"shuffle": value} for value in shuffle] or [{}] * len(wordings)
    return replace(tool, name=name, description=description, wordings=tuple(zip(wordings, implied, strict=True)))


TWINS = (
    _twin("convert_currency", "watch_currency", "Tell when an amount of money is worth another.",
          "Tell me when {amount} {base} buy {target}.", "Watch {base} against {target}, from {amount} on."),
    _twin("get_weather", "get_climate", "Get the usual climate.",
          "How is the climate in {city}?", "Climate of {city} in {unit}, please.",
          "In {unit}, how is the climate of {city} over {days} days?"),
    _twin("set_timer", "set_alarm", "Set an alarm.",
          "Set an alarm for {minutes} minutes.", "Wake me in {minutes} minutes for the {label}.",
          "The {label} takes {minutes} minutes, wake me then."),
    _twin("send_message", "send_letter", "Send a letter to somebody.",
          "Post {recipient} a letter, {text}.", "Write {text} in a letter for {recipient}."),
    _twin("play_music", "play_video", "Play videos of an artist.",
          "Show videos by {artist} shuffled.", "Shuffle all videos by {artist}.", "Show videos by {artist} in order.",
          shuffle=(True, True, False)),
    _twin("search_flights", "search_trains", "Search for trains.",
          "Find a train from {origin} to {destination}.", "Find a train to {destination} from {origin}.",
          "Take {passengers} people to {destination} by train, starting in {origin}."),
    _twin("book_table", "cancel_table", "Cancel a table in a restaurant.",
          "Cancel {restaurant} for {people} at {hour}.", "At {hour} we were {people}, get us out of {restaurant}."),
    _twin("translate", "explain", "Explain a word.",
          "Explain {word} from {source} in {target}.", "In {target}, explain the {source} word {word}."),
)  # fmt: skip
ALL_TOOLS = (*TOOLS, *TWINS)
_TWIN_OF = {a.name: b for pair in zip(TOOLS, TWINS, strict=True) for a, b in (pair, pair[::-1])}


def make_query(rng: random.Random) -> Query:
    """Draw a query; the twins of the tools that it needs are always offered, so that the choice is hard."""
    kind = rng.choices(KINDS, _KIND_WEIGHTS)[0]
    requests = [make_request(rng, tool) for tool in rng.sample(ALL_TOOLS, 2 if kind == "two calls" else 1)]
    while kind in ("in order", "swapped") and requests[0].in_order != (kind == "in order"):
        requests = [make_request(rng, rng.choice(ALL_TOOLS))]
    asked = list(dict.fromkeys(request.tool.name for request in requests))
    by_name = {tool.name: tool for tool in ALL_TOOLS}
    twins = [_TWIN_OF[name].name for name in asked if _TWIN_OF[name].name not in asked]
    others = rng.sample([name for name in by_name if name not in (*asked, *twins)], len(by_name) - len(asked + twins))
    names = ((twins if kind == "no tool" else asked + twins) + others)[:OFFERED]
    rng.shuffle(names)
    text = " And: ".join(request.sentence for request in requests)
    return Query(text, kind, tuple(by_name[name] for name in names), () if kind == "no tool" else tuple(requests))


def make_queries(num_rows: int, seed: int, split: str) -> list[Query]:
    """Draw different queries of one split, as the embedded world does."""
    rng = random.Random(f"distractors-{split}-{seed}")
    return draw_distinct(num_rows, split, lambda: make_query(rng), lambda query: query.text, lambda query: query.text)


def demonstrate_search(rng: random.Random, query: Query, manner: Manner) -> str:
    """A demonstration whose thought first goes through the candidates: all of them, or up to the first that fits."""
    style = manner.draw(rng)
    text = demonstrate(rng, query, replace(manner, styles={style: 1.0}))
    asked = {request.tool.name for request in query.requests}
    verdicts = [f"{tool.name} {'yes' if tool.name in asked else 'no'}" for tool in query.tools]
    first = next((at for at, tool in enumerate(query.tools) if tool.name in asked), len(verdicts) - 1)
    shown = {"bind": verdicts, "list": verdicts[: first + 1], "guess": []}[style]
    return text.replace("<think>", "<think>" + "".join(f"{verdict}, " for verdict in shown), 1)
