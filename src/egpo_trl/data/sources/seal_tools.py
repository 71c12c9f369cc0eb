"""Seal-Tools: `query` and `calling` with the functions in `tool.jsonl` beside the file, or the form for fine-tuning."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import records
from ..assistant_text import call_of
from ..casting import cast_calls
from ..json_schema import to_function_schema
from ..records import Record, Unconvertible
from .conversation import Conversation, Row, dump_json, json_field, tools_of
from .sharegpt import turns_of

FIELDS = ("query", "calling", "tools")
RENAMED = {"messages": "query", "answers": "calling"}
CATALOGUE = "tool.jsonl"
_FINE_TUNING = ("\napi_list = [", ']\ntask_instruction = "', '"\nOutput:')
_RESULT = "API_call_"  # how an argument names the result of another call


class _Catalogue:
    """All functions of the data set, by name."""

    def __init__(self, path: Path) -> None:
        self._functions: dict[str, dict[str, Any]] = {}
        for record in records.read_records(str(path)):
            if not isinstance(record, Unconvertible):
                schema = to_function_schema(record)
                self._functions[schema["function"]["name"]] = schema
        self._names = list(self._functions)

    def offer(self, called: list[str], num_tools: int, seed: str, withheld: bool = False) -> list[dict[str, Any]]:
        """The called functions, unless withheld, and others drawn at random, in random order; the same for a seed."""
        draw = random.Random(seed)
        offered = [] if withheld else list(dict.fromkeys(name for name in called if name in self._functions))
        others = draw.sample(self._names, min(len(self._names), num_tools + len(called)))
        offered += [name for name in others if name not in called][: max(0, num_tools - len(offered))]
        draw.shuffle(offered)
        return [self._functions[name] for name in offered]


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    if isinstance(record.get("query"), str) and record.get("calling") is not None:
        return "it has `query` and `calling`"
    return "its `conversations` begin with an `api_list`" if _parts(record) else None


def _parts(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Functions and query in the first message of the form for fine-tuning, `None` for other records."""
    text = next((said for sender, said in turns_of(record)[:1] if sender == "human"), "")
    _, begins, rest = text.partition(_FINE_TUNING[0])
    tools, asks, rest = rest.rpartition(_FINE_TUNING[1])
    query, ends, _ = rest.rpartition(_FINE_TUNING[2])
    return (f"[{tools}]", query) if begins and asks and ends else None


def _as_published(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record of the form for fine-tuning with the fields of the others."""
    parts, turns = _parts(record), turns_of(record)
    if parts is None or len(turns) != 2:
        return record
    return {**record, "tools": parts[0], "query": parts[1], "calling": turns[1][1]}


def read_records(
    name_or_path: str, split: str = "train", config: str | None = None, catalogue: str | None = None
) -> Iterator[Record | Unconvertible]:
    """Read records, each with the functions of the catalogue (`tool.jsonl` beside them) unless it has its own."""
    path = Path(name_or_path)
    file = Path(catalogue) if catalogue else (path if path.is_dir() else path.parent) / CATALOGUE
    known = _Catalogue(file) if file.is_file() else None
    if known is None and catalogue:
        raise FileNotFoundError(f"catalogue: there is no file {catalogue!r}.")
    for record in records.read_records(name_or_path, split, config):
        if isinstance(record, Unconvertible):
            yield record
        elif record.get("api_name") is None:  # a folder holds the catalogue too
            yield record if known is None or record.get("tools") else {**record, "tools": known}


def convert_record(
    record: Mapping[str, Any], num_tools: int = 5, stated_only: bool = False, no_call_share: float = 0.0
) -> list[Row]:
    """
    The rows of a record, with `num_tools` functions of the catalogue; see [`~egpo_trl.data.sources.convert`]. A
    `no_call_share` of the records, chosen by id, give a second row: other functions only, and text is right.
    """
    record = _as_published(record)
    listed = json_field(record, "calling")
    if not isinstance(listed, list) or not listed:
        raise Unconvertible("calling", "must be a non-empty list of calls")
    try:
        calls = [call_of(call) for call in listed]
    except ValueError as error:
        raise Unconvertible("calling", str(error)) from None
    if any(_RESULT in dump_json(call.arguments) for call in calls):
        raise Unconvertible("calling", "has the result of another call as an argument")
    query = record.get("query")
    known = record.get("tools")
    called, seed = [call.name for call in calls], str(record.get("id", query))
    if isinstance(known, _Catalogue):
        tools = known.offer(called, num_tools, seed)
    elif known is None:
        raise Unconvertible(
            "tools", f"is missing: is {CATALOGUE} beside the file? The option 'catalogue' names another"
        )
    else:
        tools = tools_of(record)
    conversation = Conversation(tools, "query")
    conversation.add_text("user", query)
    values = [value for call in calls for value in call.arguments.values()]
    unstated = next((value for value in values if str(value).lower() not in str(query).lower()), None)
    if stated_only and unstated is not None:
        raise Unconvertible("calling", f"the query does not hold the value {unstated!r:.60}")
    try:
        conversation.add_calls(cast_calls(calls, tools))
    except ValueError as error:
        raise Unconvertible("calling", str(error)) from None
    rows = conversation.rows()
    if isinstance(known, _Catalogue) and random.Random(f"no call {seed}").random() < no_call_share:
        others = known.offer(called, num_tools, seed, withheld=True)
        rows += [{**row, "tools": dump_json(others), "reference": "[]"} for row in rows]
    return rows
