"""What models write, not what templates write: every family of `families.py`, as text and as tokens."""

import copy
import json

import pytest
from tokenizers import AddedToken

from egpo_trl import ToolCallReward
from egpo_trl.tool_calls.calls import State, ToolCall
from egpo_trl.tool_calls.syntaxes import SYNTAX_BY_NAME
from tests.tool_calls.families import FAMILIES

TOOLS = json.dumps([
    {"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "Time.", "parameters": {"type": "object", "properties": {}}}},
])  # fmt: skip
WEATHER = {"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}
ONE, TWO, NONE = json.dumps([WEATHER]), json.dumps([WEATHER, {"name": "now", "arguments": {}}]), "[]"

each_family = pytest.mark.parametrize("name", FAMILIES)


def reward_of(family, thinking, **options):
    return ToolCallReward(family.syntax, thinking=thinking, think_tags=family.think_tags, **options)


def answers(family):
    """What the family writes, with the reference that it is right for and the reason that it gets without allow_text."""
    yield family.one, ONE, "correct"
    yield family.spoken, ONE, "text_beside_calls"
    yield family.text, NONE, "correct"
    if family.two is not None:
        yield family.two, TWO, "correct"


def modes(family):
    yield "off", ""
    if family.thought is not None:
        yield "required", family.thought


@each_family
def test_what_the_model_writes(name):
    family = FAMILIES[name]
    for thinking, thought in modes(family):
        strict, lenient = reward_of(family, thinking), reward_of(family, thinking, allow_text=True)
        for answer, reference, reason in answers(family):
            for end in ("", *family.ends):
                text = thought + answer + end
                assert strict.judge(text, reference, TOOLS).reason == reason, text
                assert lenient.judge(text, reference, TOOLS).reason == "correct", text
    if family.thought is not None:
        assert reward_of(family, "off").judge(family.thought + family.one, ONE, TOOLS).score == 0
        assert reward_of(family, "required").judge(family.one, ONE, TOOLS).reason == "no_think_block"


@each_family
def test_what_is_cut_off_or_followed_by_more_is_worth_nothing(name):
    family = FAMILIES[name]
    reward = reward_of(family, "off")
    first = family.one.index("get_weather")
    for cut in range(first, len(family.one.rstrip()) - 1):
        verdict = reward.judge(family.one[:cut], ONE, TOOLS)
        assert verdict.score == 0, family.one[:cut]
        if family.syntax not in ("json", "pythonic"):  # whose first letters may be those of a text
            assert verdict.state is not State.TEXT, family.one[:cut]
    for text in (
        f"x {family.one}",
        f"{family.one} x",
        f"{family.one}{family.one}",
        family.one.replace("Oslo", "Bergen"),
    ):
        assert reward.judge(text, ONE, TOOLS).score == 0, text
        assert reward.judge(text, NONE, TOOLS).score == 0, text


@each_family
def test_the_same_as_tokens_with_end_tokens(tiny_tokenizer, name):
    """End tokens are special, the parts of think tags are; TRL's text has lost them, and the ids have not."""
    family = FAMILIES[name]
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.add_tokens([AddedToken(end, special=True, normalized=False) for end in family.ends])
    ends = tokenizer.convert_tokens_to_ids(list(family.ends))
    for thinking, thought in modes(family):
        reward = reward_of(family, thinking).bind(tokenizer, stop_token_ids=ends, think_tags=family.think_tags)
        for answer, reference, reason in answers(family):
            for end in ends:
                ids = [*tokenizer.encode(thought + answer, add_special_tokens=False), end]
                heard = [{"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}]
                assert reward.judge(heard, reference, TOOLS, token_ids=ids).reason == reason, (answer, end)
            cut = tokenizer.encode(thought + answer, add_special_tokens=False)[:-3]
            heard = [{"role": "assistant", "content": tokenizer.decode(cut, skip_special_tokens=True)}]
            assert reward.judge(heard, reference, TOOLS, token_ids=cut).score == 0


CALLS = [
    [ToolCall("now", {})],
    [ToolCall("get_weather", {"city": "Oslo", "days": 2})],
    [ToolCall("f", {"s": 'x, y: {1} [2] "q" \'é\' ; \\n 12', "i": -1, "n": 1.5, "b": False, "z": None,
                    "l": ["a,b:c", [2.5, True]], "o": {"k": [1, None, {"m": "}"}]}, "t": "12"}),
     ToolCall("a.b-c", {"s": " blanks\nand lines "})],
]  # fmt: skip
_TYPES = {
    "s": "string",
    "i": "integer",
    "n": "number",
    "b": "boolean",
    "z": "null",
    "l": "array",
    "o": "object",
    "t": "string",
}
SCHEMAS = json.dumps(
    [{"name": name, "parameters": {"type": "object", "properties": {key: {"type": kind} for key, kind in _TYPES.items()}}}
     for name in ("f", "a.b-c")] + json.loads(TOOLS)
)  # fmt: skip


@pytest.mark.parametrize("syntax", SYNTAX_BY_NAME)
@pytest.mark.parametrize("calls", CALLS, ids=range(len(CALLS)))
@pytest.mark.parametrize("thinking", ["required", "off"])
def test_what_a_syntax_writes_it_reads(syntax, calls, thinking):
    if syntax == "pythonic":
        calls = [ToolCall(call.name.replace("-", "_"), call.arguments) for call in calls]
    tools = SCHEMAS.replace("a.b-c", "a.b_c") if syntax == "pythonic" else SCHEMAS
    reference = json.dumps([call._asdict() for call in calls])
    reward = ToolCallReward(syntax, thinking=thinking)
    text = reward.write(reference, thought="So it is." if thinking == "required" else "")
    verdict = reward.judge(text, reference, tools)
    assert (verdict.reason, list(verdict.calls)) == ("correct", calls), text
    assert reward.judge(reward.write([], text="It is cold.", thought="So."), "[]", tools).reason == "correct"


# Every order of a header that OpenAI's Harmony guide allows: the recipient in the role or the channel section, the type of
# the content constrained, named or left out.
HEADERS = [
    f"{role}<|channel|>{channel}{kind}<|message|>"
    for role, channel in (
        (" to=functions.get_weather", "commentary"),
        ("", "commentary to=functions.get_weather"),
        ("", "analysis to=functions.get_weather"),
    )
    for kind in ("", " json", " <|constrain|>json", "<|constrain|>json", " <|constrain|> json")
]


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_harmony(header):
    reward = ToolCallReward("harmony")
    thought = "<|channel|>analysis<|message|>Look it up.<|end|><|start|>assistant"
    body = '{"city": "Oslo", "days": 2}'
    assert reward.judge(f"{thought}{header}{body}<|call|>", ONE, TOOLS).reason == "correct"
    other = header.replace("functions.get_weather", "functions.now")
    assert reward.judge(f"{thought}{other}{body}<|call|>", ONE, TOOLS).reason == "wrong_function"
    for text in (f"{thought}{header}{body}<|end|>", f"{thought}{header}{body} x<|call|>", f"{thought}{header}[1]<|call|>",
                 f"{thought}{header.replace('functions.', '')}{body}<|call|>", f"{thought}{thought}{header}{body}<|call|>"):  # fmt: skip
        assert reward.judge(text, ONE, TOOLS).score == 0, text


@pytest.mark.parametrize(
    ("schema", "written", "value"),
    [
        ({"type": "integer"}, "2", 2), ({"type": "integer"}, "2.0", "2.0"), ({"type": "integer"}, "x", "x"),
        ({"type": "integer"}, "1_0", "1_0"), ({"type": "integer"}, "１", "１"), ({"type": "string"}, "2", "2"),
        ({"type": "string"}, " a\n", " a\n"), ({"type": "string"}, "null", "null"), ({"type": "number"}, "2", 2),
        ({"type": "number"}, "2.5", 2.5), ({"type": "number"}, "1e999", "1e999"), ({"type": "number"}, "NaN", "NaN"),
        ({"type": "boolean"}, "true", True), ({"type": "boolean"}, "False", False), ({"type": "boolean"}, "1", "1"),
        ({"type": "array"}, '["a", 1]', ["a", 1]), ({"type": "object"}, '{"k": 1, "k": 2}', '{"k": 1, "k": 2}'),
        ({"type": ["string", "null"]}, "None", None), ({"type": ["integer", "string"]}, "a", "a"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "7", 7), ({"type": "string", "nullable": True}, "null", None),
        ({}, "2", 2), ({}, "a b", "a b"), ({}, '"a"', '"a"'), ({"enum": ["1", "2"]}, "x", "x"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("syntax", [name for name, syntax in SYNTAX_BY_NAME.items() if syntax.is_typed_by_schema])
def test_values_without_quotes_get_the_type_of_their_schema(syntax, schema, written, value):
    text = SYNTAX_BY_NAME[syntax].write([ToolCall("f", {"a": written})])
    tools = json.dumps([{"name": "f", "parameters": {"type": "object", "properties": {"a": schema}}}])
    (call,) = ToolCallReward(syntax, thinking="off").judge(text, "[]", tools).calls
    assert call.arguments == {"a": value}
    assert type(call.arguments["a"]) is type(value)
