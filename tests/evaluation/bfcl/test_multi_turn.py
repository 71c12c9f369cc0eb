"""Conversations of several turns beside the official loop, and their rows in training's form."""

import json
import subprocess
import sys

import pytest

from egpo_trl.evaluation.bfcl.sandbox import SandboxFailure
from egpo_trl.evaluation.bfcl.stand_ins import HANDLERS
from egpo_trl.sampling.completion import Completion
from tests.evaluation.bfcl.gold import begin, drive, gold_texts, hermes, pythonic

# The official loop with a model that answers from a list: the prompts it saw and the result.
OFFICIAL_LOOP = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from egpo_trl.evaluation.bfcl.stand_ins import prepare
asked = json.load(sys.stdin)
output, sys.stdout = sys.stdout, sys.stderr
handler_class = prepare(Path(sys.argv[1]), asked["handler"])
from bfcl_eval.utils import load_dataset_entry
def query(self, inference_data):
    self.seen.append(self._format_prompt(inference_data["message"], inference_data["function"]))
    text = self.script.pop(0) if self.script else "Done."
    return SimpleNamespace(choices=[SimpleNamespace(text=text)], usage=SimpleNamespace(prompt_tokens=0, completion_tokens=0)), 0.0
handler_class._query_prompting = query
answers, loaded = {}, {}
for id, script in asked["scripts"].items():
    handler = handler_class(f"model-{id}", 0, "model", True)
    handler.seen, handler.script = [], list(script)
    category = id.rsplit("_", 1)[0]
    if category not in loaded:
        loaded[category] = {entry["id"]: entry for entry in load_dataset_entry(category)}
    entry = loaded[category][id]
    result, _ = handler.inference(entry, False, True)
    answers[id] = {"prompts": handler.seen, "result": result}
json.dump(answers, output)
"""


def official_loop(folder, handler, scripts):
    asked = json.dumps({"handler": handler, "scripts": scripts})
    command = [sys.executable, "-c", OFFICIAL_LOOP, str(folder)]
    run = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def with_trouble(texts, write):
    """Gold answers with thoughts, mistakes, several steps a turn, and pieces that nothing reads."""
    wrong = write([("cd", {"folder": "nowhere"}), ("no_such_function", {"x": [1, {"k": None}]})])
    first = texts[0]
    return [f"<think>\nhm\n</think>\n\n{wrong}", f"Now:\n{first}", "<tool_call>\n{broken\n</tool_call>", *texts[2:]]


def rows_of(suite, item, texts):
    """Rows that a conversation asks to sample, and what it returns."""
    conversation, script, rows = suite.conversation(item), iter(texts), []
    try:
        row = next(conversation)
        while True:
            rows.append(row)
            answer = next(script, "Done.")
            row = conversation.send(answer if isinstance(answer, Completion) else Completion(answer))
    except StopIteration as end:
        return rows, end.value


@pytest.mark.parametrize("handler", list(HANDLERS))
def test_prompts_and_results_are_those_of_the_official_loop(tmp_path, handler, entries, plain_entries):
    suite = begin(categories="multi_turn", bfcl_handler=handler, benchmark_prompt="official", max_per_category=3)
    write = {"fc": hermes, "prompting": pythonic}[handler]
    items = suite.items()
    endless = [write([("ls", {}), ("pwd", {})])] * 30
    scripts = {}
    for number, item in enumerate(items):
        gold = gold_texts(entries[item.id], plain_entries[item.id], write)
        scripts[item.id] = [gold, with_trouble(gold, write), endless][number % 3]
    theirs = official_loop(tmp_path, handler, scripts)
    for item in items:
        rows, outcome = rows_of(suite, item, scripts[item.id])
        assert outcome == {"turns": theirs[item.id]["result"], "failure": None}
        assert [row["prompt"] for row in rows] == theirs[item.id]["prompts"]
    assert 21 in {len(theirs[item.id]["prompts"]) for item in items}  # broken off past the official limit
    suite._sandbox.close()


@pytest.fixture(scope="module")
def suite():
    suite = begin(categories="multi_turn", max_per_category=2)
    suite.items()
    yield suite
    suite._sandbox.close()


def find(suite, category):
    return next(item for item in suite.items() if item.category == category)


def test_rows_have_the_form_of_training(suite):
    item = find(suite, "multi_turn_base")
    thought = "<think>\nFirst the folder.\n</think>\n\n"
    text = thought + hermes([("cd", {"folder": "document"}), ("ls", {})])
    rows, outcome = rows_of(suite, item, [text, "In the folder."])
    assert [message["role"] for message in rows[0]["prompt"]] == ["user"]
    assert [message["role"] for message in rows[1]["prompt"]] == ["user", "assistant", "tool", "tool"]
    _, assistant, first, second = rows[1]["prompt"]
    assert [call["function"] for call in assistant["tool_calls"]] == [
        {"name": "cd", "arguments": '{"folder": "document"}'},
        {"name": "ls", "arguments": "{}"},
    ]
    assert assistant["reasoning_content"] == "First the folder."
    assert [first["tool_call_id"], second["tool_call_id"]] == [call["id"] for call in assistant["tool_calls"]]
    assert json.loads(first["content"]) == {"current_working_directory": "document"}
    assert [message["role"] for message in rows[2]["prompt"][-2:]] == ["assistant", "user"]
    assert rows[2]["prompt"][-2]["content"] == "In the folder."
    assert outcome["turns"][0] == [text.removeprefix(thought), "In the folder."]
    schema = json.loads(rows[0]["tools"])[0]
    assert schema["type"] == "function"
    assert schema["function"]["parameters"]["type"] == "object"


def test_functions_held_back_join_the_tools(suite):
    item = find(suite, "multi_turn_miss_func")
    ((turn, held),) = item.row["missed_function"].items()
    rows, outcome = rows_of(suite, item, [])
    names = [{tool["function"]["name"] for tool in json.loads(row["tools"])} for row in rows]
    missing = {function["name"] for function in held}
    assert len(rows) == len(item.row["question"]) == len(outcome["turns"])
    for number, offered in enumerate(names):
        assert (missing <= offered) == (number >= int(turn))
    assert rows[int(turn)]["prompt"][-1] == {"role": "user", "content": suite._rules["functions_added"]}


def test_a_turn_is_broken_off_past_the_step_limit(suite):
    item = find(suite, "multi_turn_base")
    rows, outcome = rows_of(suite, item, [hermes([("ls", {})])] * 40)
    assert len(rows) == suite._rules["step_limit"] + 1 == 21
    assert [len(turn) for turn in outcome["turns"]] == [21]


def test_a_completion_that_was_never_sampled_ends_the_conversation(suite):
    item = find(suite, "multi_turn_base")
    for reason in ("prompt_too_long", "error"):
        rows, outcome = rows_of(suite, item, ["Done.", Completion("", finish_reason=reason)])
        assert len(rows) == 2
        assert outcome == {"turns": [["Done."], []], "failure": reason}


def test_a_step_that_ends_the_process_is_worth_0_and_the_next_entry_goes_on(suite, tmp_path, monkeypatch):
    items = suite.items()[:2]
    ask = suite._sandbox.ask

    def die(do, **arguments):
        if do == "conversation" and arguments["id"] == items[0].id:
            raise SandboxFailure("crash")
        return ask(do, **arguments)

    monkeypatch.setattr(suite._sandbox, "ask", die)
    samples = [drive(suite, item, [hermes([("ls", {})])]) for item in items]
    assert samples[0].outcome["failure"] == "sandbox_crash"
    scored = suite.score(samples, tmp_path)
    assert (scored[0].score, scored[0].reason) == (0.0, "sandbox_crash")
    assert scored[1].reason.startswith("multi_turn:")
    file = tmp_path / "result" / "egpo-trl" / "multi_turn" / "BFCL_v4_multi_turn_base_result.json"
    first, second = (json.loads(line)["result"] for line in file.read_text().splitlines())
    assert first == "Error during inference: sandbox_crash"
    assert second[0] == [hermes([("ls", {})]), "Done."]
