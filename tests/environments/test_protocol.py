"""The protocol: tools as TRL finds them, schemas, and methods that answer whatever a model writes."""

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.environments import ENVIRONMENTS, FileSystem, ToolEnvironment, load_environments, reports_errors
from egpo_trl.environments.protocol import MAX_TEXT, offered_schemas, tool_methods, tool_schemas

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
STATES = {
    "file_system": {"folders": {"a": {"x": "1"}, "b": {}}},
    "ticket_desk": {
        "tickets": {"3": {"customer": "Ada", "status": "open", "priority": "low", "agent": ""}},
        "agents": {"login": "Olga"},
    },
    "trading_account": {
        "account": {"cash": 100}, "companies": {"Acme": "AC"}, "prices": {"AC": 3}, "holdings": {"AC": 2},
        "orders": {"5": {"symbol": "AC", "shares": 2}},
    },
}  # fmt: skip


class Kitchen:
    """A kitchen with one hand-written schema."""

    tool_schemas: ClassVar[dict[str, Any]] = {
        "heat": {
            "name": "heat",
            "description": "Heat.",
            "parameters": {"type": "object", "properties": {"degrees": {"type": "integer", "maximum": 250}}},
        }
    }

    def __init__(self) -> None:
        self.degrees = 20

    def reset(self, **_: Any) -> None:
        self.degrees = 20

    @property
    def state(self) -> int:
        return self.degrees

    def heat(self, degrees):
        self.degrees = degrees

    def taste(self, spoons: int) -> str:
        """
        Taste.

        Args:
            spoons: How much.
        """
        return "hot" * spoons

    def _secret(self) -> None: ...

    def get_reward(self) -> float:
        return 1.0


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_trl_finds_the_same_tools(name):
    """By the comprehension of `GRPOTrainer._generate_and_score_completions`, run on TRL's own source."""
    import inspect

    from trl import GRPOTrainer

    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert 'if member_name not in ("reset", "get_reward") and not member_name.startswith("_")' in source
    environment = ENVIRONMENTS[name]()
    assert isinstance(environment, ToolEnvironment)
    found = [
        member
        for member, _ in inspect.getmembers(type(environment), predicate=inspect.isfunction)
        if member not in ("reset", "get_reward") and not member.startswith("_")
    ]
    assert list(tool_methods(environment)) == found
    for schema in tool_schemas(environment).values():
        function = schema["function"]
        assert function["description"]
        for parameter in function["parameters"]["properties"].values():
            assert parameter["type"] in ("string", "integer")
            assert parameter["description"]


def test_hand_written_schemas_come_first():
    kitchen = Kitchen()
    assert set(tool_methods(kitchen)) == {"heat", "taste"}
    schemas = tool_schemas(kitchen)
    assert schemas["heat"]["function"]["parameters"]["properties"]["degrees"]["maximum"] == 250
    assert schemas["taste"]["function"]["parameters"]["properties"]["spoons"]["type"] == "integer"


@pytest.mark.parametrize("name", ENVIRONMENTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_tools_answer_whatever_a_model_writes(name, data):
    environment = ENVIRONMENTS[name]()
    environment.reset(initial_state=json.dumps(STATES[name]))
    tools = tool_methods(environment)
    for _ in range(4):
        tool = data.draw(st.sampled_from(sorted(tools)))
        names = list(tool_schemas(environment)[tool]["function"]["parameters"]["properties"])
        arguments = data.draw(
            st.fixed_dictionaries(dict.fromkeys(names, JSON)) | st.dictionaries(st.text(max_size=6), JSON, max_size=3)
        )
        answer = tools[tool](**arguments)
        assert isinstance(json.loads(answer), dict)
    assert json.loads(json.dumps(environment.state)) == environment.state


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_reset_starts_afresh_and_hands_out_copies(name):
    environment = ENVIRONMENTS[name]()
    environment.reset(initial_state=json.dumps(STATES[name]), prompt="ignored", tools="ignored")
    assert environment.state == STATES[name]
    environment.state.clear()
    for part in environment.state.values():
        part.clear()
    assert environment.state == STATES[name]
    environment.reset()
    assert environment.state != STATES[name]


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("state", ["", "[]", "3", '{"unknown": {}}', "{'a': 1}", 7, '{"a": {}, "a": {}}'])
def test_a_broken_state_is_refused(name, state):
    with pytest.raises(ValueError, match="initial_state"):
        ENVIRONMENTS[name]().reset(initial_state=state)


def test_arguments_are_checked_and_errors_told():
    class Counter:
        @reports_errors
        def add(self, number: int, note: str = "") -> Any:
            if number < 0:
                raise ValueError("no negative numbers")
            return [number, note]

    counter = Counter()
    assert counter.add(1) == '[1,""]'
    assert counter.add(number=2, note="x") == '[2,"x"]'
    for arguments, error in [
        ({}, "missing a required argument: 'number'"),
        ({"number": 1, "other": 2}, "got an unexpected keyword argument 'other'"),
        ({"number": "1"}, "number must be int"),
        ({"number": True}, "number must be int"),
        ({"number": 1.0}, "number must be int"),
        ({"number": -1}, "no negative numbers"),
        ({"number": 1, "note": "x" * (MAX_TEXT + 1)}, "note is too long"),
    ]:
        assert json.loads(counter.add(**arguments)) == {"error": error}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_are_finite(value):
    class Purse:
        @reports_errors
        def pay(self, amount: float) -> Any:
            return amount

    assert json.loads(Purse().pay(value)) == {"error": "amount must be finite"}
    assert Purse().pay(1) == "1"


def test_environments_by_name():
    assert load_environments() == dict(ENVIRONMENTS)
    assert load_environments(["file_system"]) == {"file_system": FileSystem}
    own = f"{__name__}:Kitchen"
    assert load_environments([own])[own] is Kitchen
    for name in ("nothing", "no.such.module:Class", "json:Nothing", ":"):
        with pytest.raises(ValueError, match="environments: "):
            load_environments([name])


def test_what_a_row_offers():
    kitchen = Kitchen()
    schemas = tool_schemas(kitchen)
    assert offered_schemas(kitchen, None) == list(schemas.values())
    assert offered_schemas(kitchen, '[{"name": "taste"}]') == [schemas["taste"]]
    own = {"type": "function", "function": {"name": "heat", "description": "Warm up.", "parameters": {}}}
    assert offered_schemas(kitchen, json.dumps([own, {"name": "wash"}])) == [own]
    assert offered_schemas(kitchen, "[]") == []
    with pytest.raises(ValueError, match="Expecting value"):
        offered_schemas(kitchen, "[")
