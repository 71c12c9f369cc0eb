"""The trajectory reward: BFCL's criterion, the template in every turn, and a reason with a step for every zero."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl import ToolCallReward, TrajectoryReward
from egpo_trl.demo.multi_turn_world import make_rows
from egpo_trl.environments import ENVIRONMENTS, TicketDesk
from egpo_trl.environments.protocol import tool_methods
from egpo_trl.environments.replay import parse_trajectory, start
from egpo_trl.rewards.trajectory import TRAJECTORY_REASONS
from egpo_trl.tool_calls.calls import State

STATE = json.dumps(
    {
        "tickets": {
            "12": {"customer": "Ada", "status": "open", "priority": "normal", "agent": ""},
            "34": {"customer": "Ben", "status": "open", "priority": "normal", "agent": ""},
        },
        "agents": {"login": "Olga"},
    }
)
NAMES = ("find_ticket", "get_ticket", "close_ticket", "set_priority")
TOOLS = json.dumps([{"name": name, "parameters": {}} for name in NAMES])
FIND, CLOSE = ("find_ticket", {"customer": "Ada"}), ("close_ticket", {"ticket": 12})
REFERENCE = json.dumps([[{"name": name, "arguments": arguments}] for name, arguments in (FIND, CLOSE)] + [[]])
ROW = {"environment": "ticket_desk", "initial_state": STATE, "tools": TOOLS, "trajectory": REFERENCE}
DONE = "<think>done</think>Done."
reward = TrajectoryReward(calls=ToolCallReward(syntax="hermes"))


def turn(*calls: tuple[str, Any], thought: str = "so") -> str:
    written = "\n".join(f"<tool_call>{json.dumps({'name': n, 'arguments': a})}</tool_call>" for n, a in calls)
    return f"<think>{thought}</think>{written}"


def play(
    *turns: Any, row: dict[str, Any] = ROW, parsed: bool = False, factory: Any = None
) -> tuple[list[dict[str, Any]], Any]:
    """Messages of a rollout and its environment: a turn is a tuple of calls or a text."""
    environment = start(factory or ENVIRONMENTS[row["environment"]], row)
    messages: list[dict[str, Any]] = []
    for one in turns:
        if isinstance(one, str):
            messages.append({"role": "assistant", "content": one})
            continue
        content: dict[str, Any] = {"content": turn(*one)}
        if parsed:
            calls = [
                {"type": "function", "function": {"name": name, "arguments": arguments}} for name, arguments in one
            ]
            content = {"content": "", "reasoning_content": "so", "tool_calls": calls}
        messages.append({"role": "assistant", **content})
        for name, arguments in one:
            tool = tool_methods(environment).get(name)
            told = tool(**arguments) if tool else f"Tool {name!r} is not available."
            messages.append({"role": "tool", "name": name, "content": told})
    return messages, environment


def verdict(*turns: Any, row: dict[str, Any] = ROW, **options: Any) -> tuple[str, int]:
    messages, environment = play(*turns, row=row, **options)
    judged = reward.judge(messages, row, environment)
    assert judged.score == float(judged.reason == "correct")
    assert judged.reason in TRAJECTORY_REASONS
    return judged.reason, judged.step


SHOW = ("get_ticket", {"ticket": 34})


@pytest.mark.parametrize("parsed", [False, True])
@pytest.mark.parametrize(
    "turns",
    [
        [(FIND,), (CLOSE,), DONE],
        [(FIND,), (SHOW,), (CLOSE,), DONE],  # another call in between
        [(FIND, CLOSE), DONE],  # both at once
        [(FIND,), (FIND,), (CLOSE,), DONE],  # looked up twice
        [(("close_ticket", {"ticket": 9}),), (FIND,), (CLOSE,), DONE],  # an error that it made good
        [
            (("set_priority", {"ticket": 34, "priority": "high"}), ("set_priority", {"ticket": 34, "priority": "normal"})),
            (FIND,), (CLOSE,), DONE,
        ],  # changed and changed back
    ],
)  # fmt: skip
def test_right_rollouts(turns, parsed):
    assert verdict(*turns, parsed=parsed) == ("correct", 0)


@pytest.mark.parametrize(
    ("turns", "reason", "step"),
    [
        ([], "empty_answer", 1),
        ([DONE], "text_instead_of_call", 1),
        ([(FIND,), DONE], "missing_call", 2),
        ([(CLOSE,), DONE], "wrong_function", 1),
        ([(CLOSE,), (FIND,), DONE], "wrong_function", 1),  # the ticket was closed before it was looked up
        ([(("find_ticket", {"customer": "Ben"}),), (CLOSE,), DONE], "wrong_value", 1),
        ([(FIND,), (("close_ticket", {"ticket": 34}),), DONE], "wrong_value", 2),
        ([(FIND,), (("close_ticket", {"ticket": "12"}),), DONE], "wrong_type", 2),
        ([(FIND,), (("close_ticket", {}),), DONE], "missing_argument", 2),
        ([(FIND,), (("close_ticket", {"ticket": 12, "why": ""}),), DONE], "unexpected_argument", 2),
        ([(FIND,), (CLOSE,), (("close_ticket", {"ticket": 34}),), DONE], "wrong_state", 0),
        ([(FIND,), (("assign_ticket", {"ticket": 12, "agent": "Olga"}),), DONE], "unknown_function", 2),
        ([(FIND,), (("rm", {}),), (CLOSE,), DONE], "unknown_function", 2),
        ([(FIND,), (CLOSE,)], "unfinished", 2),
        ([(FIND,), (CLOSE,), "Done."], "no_think_block", 3),
        ([(FIND,), turn(CLOSE).replace("<think>so</think>", ""), DONE], "no_think_block", 2),
        ([(FIND,), (CLOSE,), "<think>Done."], "unclosed_think_block", 3),
        ([(FIND,), (CLOSE,), "<think>a</think><think>b</think>Done."], "several_think_blocks", 3),
        ([(FIND,), (CLOSE,), "<think>a</think>"], "empty_answer", 3),
        ([(FIND,), "<think>so</think><tool_call>{'name'}</tool_call>"], "malformed_call", 2),
        ([(FIND,), turn(CLOSE) + "Now."], "text_beside_calls", 2),
        ([DONE, (FIND,), (CLOSE,), DONE], "text_instead_of_call", 1),
    ],
)
def test_wrong_rollouts(turns, reason, step):
    assert verdict(*turns) == (reason, step)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["<think>which one?</think>Which ticket?"], ("correct", 0)),
        ([(FIND,), "<think>so</think>Which ticket?"], ("call_instead_of_text", 1)),
        ([(SHOW,)], ("call_instead_of_text", 1)),
        (["Which ticket?"], ("no_think_block", 1)),
        (["<think>so</think><tool_call>"], ("malformed_call", 1)),
    ],
)
def test_asking_or_declining(turns, expected):
    """Where something is missing, the reference has no call, and any call is wrong."""
    assert verdict(*turns, row={**ROW, "trajectory": "[[]]"}) == expected


def test_forbidden_calls():
    row = {**ROW, "forbidden": '["get_ticket"]'}
    assert verdict((FIND,), (CLOSE,), DONE, row=row) == ("correct", 0)
    assert verdict((FIND,), (SHOW,), (CLOSE,), DONE, row=row) == ("forbidden_call", 2)


def test_rows_without_tools_offer_what_exists_and_an_empty_list_nothing():
    row = {name: value for name, value in ROW.items() if name != "tools"}
    assign = ("assign_ticket", {"ticket": 34, "agent": "nobody"})  # an error that does no harm
    for every in (row, {**row, "tools": None}):
        assert verdict((FIND,), (assign,), (CLOSE,), DONE, row=every) == ("correct", 0)
        assert verdict((FIND,), (("rm", {}),), (CLOSE,), DONE, row=every) == ("unknown_function", 2)
    assert verdict((FIND,), (CLOSE,), DONE, row={**row, "tools": "[]"}) == ("unknown_function", 1)
    messages, environment = play((FIND,), (("rm", {}),), (CLOSE,), DONE, row=row)
    sharing = replace(reward, shared_tools=("rm",))
    assert sharing.judge(messages, row, environment).score == 1.0
    assert sharing.judge(messages, {**row, "tools": TOOLS}, environment).reason == "unknown_function"


def test_what_was_executed_counts_however_the_turn_is_read():
    messages, environment = play((FIND,), (CLOSE,), DONE)
    messages.insert(4, {"role": "tool", "name": "get_ticket", "content": "{}"})
    assert reward.judge(messages, ROW, environment).score == 1.0
    assert reward.judge(messages, {**ROW, "forbidden": '["get_ticket"]'}, environment)[1:3] == ("forbidden_call", 2)
    messages[4]["name"] = "rm"
    assert reward.judge(messages, ROW, environment)[1:3] == ("unknown_function", 2)


def test_the_same_call_counts_once_for_each_time_that_it_is_asked_for():
    twice = [[{"name": "get_ticket", "arguments": {"ticket": 34}}]] * 2 + [[]]
    row = {**ROW, "trajectory": json.dumps(twice)}
    assert verdict((SHOW,), (SHOW,), DONE, row=row) == ("correct", 0)
    assert verdict((SHOW, SHOW), DONE, row=row) == ("correct", 0)
    assert verdict((SHOW,), DONE, row=row) == ("missing_call", 2)


def test_a_required_call_with_another_result():
    """The call of the reference itself, made when the state had changed: neither its result nor the state is right."""
    row = {
        **ROW,
        "trajectory": json.dumps(
            [[{"name": "get_ticket", "arguments": {"ticket": 12}}], [{"name": CLOSE[0], "arguments": CLOSE[1]}], []]
        ),
    }
    show = ("get_ticket", {"ticket": 12})
    assert verdict((show,), (CLOSE,), DONE, row=row) == ("correct", 0)
    assert verdict((CLOSE, show), DONE, row=row) == ("extra_call", 1)
    assert (
        verdict((("set_priority", {"ticket": 12, "priority": "high"}),), (show,), (CLOSE,), DONE, row=row)[0]
        == "wrong_function"
    )
    messages, environment = play((show,), (CLOSE,), DONE, row=row)
    messages[1]["content"] = "something else"
    assert reward.judge(messages, row, environment)[1:3] == ("wrong_result", 1)


def test_results_that_the_model_forged_do_not_count():
    """Text of the policy that looks like a result is its own turn, and the environment has not moved."""
    _, environment = play(DONE)
    forged = [
        {"role": "assistant", "content": turn(FIND)},
        {"role": "tool", "name": "find_ticket", "content": '{"ticket":12}'},
        {"role": "assistant", "content": turn(CLOSE)},
        {"role": "tool", "name": "close_ticket", "content": '{"closed":12}'},
        {"role": "assistant", "content": DONE},
    ]
    assert reward.judge(forged, ROW, environment).reason == "wrong_state"
    said = [{"role": "assistant", "content": DONE + '<tool_response>{"closed":12}</tool_response>'}]
    assert reward.judge(said, ROW, environment).score == 0.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tools": "["}, "invalid_tools"),
        ({"trajectory": "["}, "invalid_reference"),
        ({"trajectory": None}, "invalid_reference"),
        ({"initial_state": "["}, "invalid_reference"),
        ({"forbidden": "{}"}, "invalid_reference"),
        ({"forbidden": "["}, "invalid_reference"),
        ({"trajectory": '[[{"name": "close_ticket", "arguments": {"ticket": 7}}], []]'}, "invalid_reference"),
    ],
)
def test_rows_that_cannot_be_read(change, reason):
    messages, environment = play((FIND,), (CLOSE,), DONE)
    assert reward.judge(messages, {**ROW, **change}, environment)[:3] == (0.0, reason, 0)


def test_the_environment_is_found_without_a_name():
    messages, environment = play((FIND,), (CLOSE,), DONE)
    row = {name: value for name, value in ROW.items() if name != "environment"}
    assert reward.judge(messages, row, environment).score == 1.0
    assert TrajectoryReward(TicketDesk, reward.calls).judge(messages, row, environment).score == 1.0


def test_an_environment_that_breaks_is_a_wrong_state():
    class Broken:
        @property
        def state(self) -> Any:
            raise RuntimeError("gone")

    messages, _ = play((FIND,), (CLOSE,), DONE)
    assert reward.judge(messages, ROW, Broken()).reason == "wrong_state"
    assert reward.judge(messages, ROW, None).reason == "wrong_state"


def test_a_batch_with_reasons_and_steps():
    rollouts = [play((FIND,), (CLOSE,), DONE), play((FIND,), DONE), play(DONE)]
    extra, metrics = {}, {}
    scores = reward(
        prompts=["?"] * 3,
        completions=[messages for messages, _ in rollouts],
        completion_ids=[[1]] * 3,
        environments=[environment for _, environment in rollouts],
        trainer_state=object(),
        log_extra=extra.__setitem__,
        log_metric=metrics.__setitem__,
        **{name: [value] * 3 for name, value in ROW.items()},
    )
    assert scores == [1.0, 0.0, 0.0]
    assert extra == {"reason": ["correct", "missing_call", "text_instead_of_call"], "failed_step": [0, 2, 1]}
    assert metrics["reason/correct"] == metrics["reason/missing_call"] == pytest.approx(1 / 3)
    assert set(metrics) == {"calls/surplus", *(f"reason/{reason}" for reason in TRAJECTORY_REASONS)}
    assert metrics["calls/surplus"] == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_every_reference_is_worth_one_and_half_of_it_nothing(seed):
    for row in make_rows(80, seed=seed, split="test"):
        steps = parse_trajectory(row["trajectory"])[:-1]
        asked = [[(call.name, call.arguments) for call in step] for step in steps]
        assert verdict(*map(tuple, asked), DONE, row=row) == ("correct", 0)
        if asked:
            assert verdict(*map(tuple, asked[:-1]), DONE, row=row)[0] in ("missing_call", "text_instead_of_call")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from([turn(FIND), DONE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "name", "content", "tool_calls", "function", "arguments", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["assistant", "tool", "user"]) | VALUES}, optional={"content": VALUES, "tool_calls": VALUES, "name": VALUES}),
    max_size=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    completion=MESSAGES | VALUES,
    ids=st.none() | st.lists(st.integers(0, 500), max_size=8),
    mask=st.none() | st.lists(st.integers(0, 1), max_size=8),
)
def test_any_completion_gets_a_verdict(completion, ids, mask):
    judged = reward.judge(completion, ROW, TicketDesk(), ids, mask)
    assert judged.score == 0.0
    assert judged.reason in TRAJECTORY_REASONS
    assert judged.reason != "correct"


@settings(max_examples=100, deadline=None)
@given(
    values=st.fixed_dictionaries(
        dict.fromkeys(["tools", "trajectory", "initial_state", "forbidden", "environment"], VALUES)
    )
)
def test_any_row_gets_a_verdict(values):
    messages, environment = play((FIND,), (CLOSE,), DONE)
    assert reward.judge(messages, values, environment).reason in TRAJECTORY_REASONS


def test_answers_of_the_turns():
    messages, environment = play((FIND,), (CLOSE,), DONE)
    answers = reward.judge(messages, ROW, environment).answers
    assert [answer.state for answer in answers] == [State.CALL, State.CALL, State.TEXT]
    assert [call.name for answer in answers for call in answer.calls] == ["find_ticket", "close_ticket"]
