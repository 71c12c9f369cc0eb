"""The process of the official code: how it is ended and started again."""

import json
import os
import signal

import pytest

from egpo_trl.evaluation.bfcl.sandbox import OfficialError, Sandbox, SandboxFailure
from tests.evaluation.bfcl.gold import hermes, pythonic


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox("fc", max_cpu_seconds=3) as one:
        yield one


RIGHT = hermes([("calculate_triangle_area", {"base": 10, "height": 5})])


def test_it_starts_again_after_it_died(sandbox):
    assert sandbox.ask("score", id="simple_python_0", result=RIGHT) == {"valid": True}
    os.kill(sandbox._process.pid, signal.SIGKILL)
    with pytest.raises(SandboxFailure) as failure:
        sandbox.ask("score", id="simple_python_0", result=RIGHT)
    assert failure.value.reason == "crash"
    assert sandbox.ask("score", id="simple_python_0", result=RIGHT) == {"valid": True}
    assert {"limits", "audit"} <= set(sandbox.protections)


def test_errors_of_official_code(sandbox):
    with pytest.raises(OfficialError, match="KeyError: 'simple_python_9999'"):
        sandbox.ask("score", id="simple_python_9999", result=RIGHT)
    assert sandbox.ask("score", id="simple_python_0", result=RIGHT) == {"valid": True}


@pytest.mark.parametrize("depth", [100, 480, 700, 985, 2_000, 50_000])
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_a_call_that_is_nested_deeply_is_wrong_and_no_more(sandbox, depth, opening, closing):
    deep = (
        '{"name": "calculate_triangle_area", "arguments": {"base": ' + opening * depth + "1" + closing * depth + "}}"
    )
    try:
        verdict = sandbox.ask("score", id="simple_python_0", result=f"<tool_call>\n{deep}\n</tool_call>")
    except OfficialError as error:
        assert "RecursionError" in str(error)  # noqa: PT017  # how deep is too deep is Python's to say
        verdict = {"valid": False}
    assert verdict["valid"] is False
    json.dumps({"verdict": [verdict]})
    assert sandbox.ask("score", id="simple_python_0", result=RIGHT) == {"valid": True}


HOSTILE = (
    "__import__('os').system('touch FILE')",
    "open('FILE', 'w').write('x')",
    "print(1) or cd",
    "cd(folder=__import__('os').system('touch FILE')) or cd",
    "exec",
    "eval",
    "(lambda: open('FILE', 'w'))().close",
    "cd(folder='document'); import os; os.system",
    "globals().clear",
    "_load_scenario",
    "__init__",
    "cd.__func__.__globals__['__builtins__']['open']",
)


def test_hostile_names_and_arguments_are_not_executed(sandbox, tmp_path):
    file = tmp_path / "written"
    calls = [(name.replace("FILE", str(file)), {"x": f"open('{file}', 'w')"}) for name in HOSTILE]
    calls += [("cd", {"folder=__import__('os').system('true'), x": "document"}), ("cd", {"class": 1})]
    before = sandbox.ask("conversation", id="multi_turn_base_0", turns=[[hermes([("ls", {})])]])["step"]["results"]
    texts = [hermes(calls), hermes([("ls", {})])]
    step = sandbox.ask("conversation", id="multi_turn_base_0", turns=[texts[:1]])["step"]
    assert len(step["results"]) == len(calls)
    assert all(result.startswith("Error during execution: ") for result in step["results"])
    assert not file.exists()
    assert sandbox.ask("conversation", id="multi_turn_base_0", turns=[texts])["step"]["results"] == before
    verdict = sandbox.ask("score", id="multi_turn_base_0", result=[[text] for text in texts] * 2)
    assert verdict["error"]["error_type"] == "multi_turn:instance_state_mismatch"
    assert not file.exists()


def test_nothing_of_one_rollout_reaches_another(sandbox):
    wrong = [[hermes([("cd", {"folder": "document"}), ("rm", {"file_name": "final_report.pdf"})])], [], [], []]
    right = [[hermes([("ls", {})])]]
    first = sandbox.ask("conversation", id="multi_turn_base_0", turns=right)
    assert sandbox.ask("score", id="multi_turn_base_0", result=wrong)["valid"] is False
    sandbox.ask("conversation", id="multi_turn_base_0", turns=wrong)
    assert sandbox.ask("conversation", id="multi_turn_base_0", turns=right) == first


def test_endless_arithmetic_is_ended(tmp_path):
    with Sandbox("prompting", max_cpu_seconds=1) as sandbox:
        with pytest.raises(SandboxFailure) as failure:
            sandbox.ask("score", id="simple_python_0", result="[f(a=9**9**9*1)]")
        assert failure.value.reason == "timeout"
        verdict = sandbox.ask("score", id="simple_python_0", result="[f(a='a'*10**12)]")
        assert verdict["error_type"] == "ast_decoder:decoder_failed"
        file = tmp_path / "written"
        hostile = f"[f(a=open('{file}', 'w').write('x') + 1)]"
        assert sandbox.ask("score", id="simple_python_0", result=hostile)["error_type"] == "ast_decoder:decoder_failed"
        assert not file.exists()
        right = pythonic([("calculate_triangle_area", {"base": 10, "height": 5})])
        assert sandbox.ask("score", id="simple_python_0", result=right.replace("10", "2*5")) == {"valid": True}
