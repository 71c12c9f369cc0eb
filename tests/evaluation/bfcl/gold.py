"""Right answers of BFCL as a model would write them, and suites driven without a runner."""

import ast
import json
from collections.abc import Callable, Sequence
from typing import Any

from egpo_trl.evaluation.bfcl.categories import category_of
from egpo_trl.evaluation.bfcl.suite import BFCL
from egpo_trl.evaluation.records import Item, Sample
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.sampler import PromptFormat
from tests.tool_calls.test_bfcl_matching import first, gold

Calls = list[tuple[str, dict[str, Any]]]


def hermes(calls: Calls) -> str:
    blocks = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]
    return "\n".join(f"<tool_call>\n{block}\n</tool_call>" for block in blocks)


def pythonic(calls: Calls) -> str:
    written = [f"{name}({', '.join(f'{key}={value!r}' for key, value in args.items())})" for name, args in calls]
    return f"[{', '.join(written)}]"


def java(value: Any, schema: dict[str, Any], quote: str = "") -> str:
    """
    A value as Java source, which is what the Java entries ask for.

    Strings in arrays, and in lists of anything, stand without quotation marks: the official converter keeps the marks.
    """
    kind = schema["type"]
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if kind in ("Array", "ArrayList"):
        quote = '"' if kind == "ArrayList" and schema["items"]["type"] == "String" else ""
        items = ", ".join(java(item, schema["items"], quote) for item in value)
        kinds = {"any": "Object", "integer": "int"}.get(schema["items"]["type"], schema["items"]["type"])
        return f"new {kinds}[]{{{items}}}" if kind == "Array" else f"new ArrayList<{kinds}>(Arrays.asList({items}))"
    if kind == "HashMap":
        puts = " ".join(f'put("{key}", {json.dumps(item)});' for key, item in value.items())
        return f"new HashMap<String, Object>() {{{{ {puts} }}}}"
    return json.dumps(value) + {"long": "L", "float": "f"}.get(kind, "")


def javascript(value: Any, schema: dict[str, Any]) -> str:
    if isinstance(value, str):
        return value
    if schema["type"] == "dict":
        return "{" + ", ".join(f"{key}: {json.dumps(item)}" for key, item in value.items()) + "}"
    if schema["type"] == "float" and isinstance(value, int):
        return str(float(value))
    return json.dumps(value)


def given_first(values: list) -> Any:
    return values[0] if values else ""


def none_if_possible(values: list) -> Any:
    return "" if "" in values else first(values)


# Which acceptable value to write, and whether to write "".
PICKS = ((first, False), (given_first, False), (none_if_possible, False), (first, True))


def gold_calls(entry: dict[str, Any], plain: dict[str, Any], pick: int = 0) -> Calls:
    """Acceptable values of each argument; `plain` is the entry as the data file has it."""
    calls = gold(entry["ground_truth"], *PICKS[pick])
    write = {"simple_java": java, "simple_javascript": javascript}.get(category_of(entry["id"]))
    if write is None:
        return calls
    ((name, arguments),) = calls
    schema = plain["function"][0]["parameters"]["properties"]
    return [(name, {key: write(value, schema[key]) for key, value in arguments.items()})]


def gold_turns(entry: dict[str, Any]) -> list[Calls]:
    """Calls of each turn of an entry with several; positional arguments get their names."""
    functions = [*entry["function"], *(f for held in entry.get("missed_function", {}).values() for f in held)]
    names = {function["name"]: list(function["parameters"]["properties"]) for function in functions}
    turns = []
    for turn in entry["ground_truth"]:
        calls = []
        for source in turn:
            call = ast.parse(source.strip(), mode="eval").body
            arguments = dict(zip(names[call.func.id], map(ast.literal_eval, call.args), strict=False))
            arguments |= {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            calls.append((call.func.id, arguments))
        turns.append(calls)
    return turns


def begin(**options: Any) -> BFCL:
    """A suite whose prompts ask for the syntax of its handler."""
    suite = BFCL(**options)
    pythonic = options.get("bfcl_handler") == "prompting" and options.get("benchmark_prompt") != "official"
    suite.begin(PromptFormat(style="paper" if pythonic else "native"))
    return suite


def drive(suite: BFCL, item: Item, texts: Sequence[str], number: int = 0) -> Sample:
    """The conversation about an item with a model that gives these texts, then empty ones."""
    conversation, given = suite.conversation(item), []
    try:
        next(conversation)
        while True:
            given.append(Completion(texts[len(given)] if len(given) < len(texts) else "Done."))
            conversation.send(given[-1])
    except StopIteration as end:
        return Sample(item, number, tuple(given), end.value)


def gold_texts(
    entry: dict[str, Any], plain: dict[str, Any], write: Callable[[Calls], str], pick: int = 0
) -> list[str]:
    category = category_of(entry["id"])
    if category.startswith("multi_turn"):
        return [text for calls in gold_turns(entry) for text in ([write(calls)] if calls else []) + ["Done."]]
    if "irrelevance" in category:
        return ["None of these functions helps."]
    if "relevance" in category:
        return [write([(entry["function"][0]["name"], {})])]
    return [write(gold_calls(entry, plain, pick))]
