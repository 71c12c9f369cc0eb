"""The embedded world and rows of one's own, judged as training judges them; the two commands from start to end."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset

from egpo_trl.cli import main
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.evaluation.exact_match import exact_match, judge_rows, reasons
from egpo_trl.evaluation.records import Item, Sample
from egpo_trl.evaluation.row_suites import DemoSuite, RowsSuite
from egpo_trl.rewards.tool_call import ToolCallReward
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.config import EvaluationConfig
from egpo_trl.sampling.sampler import PromptFormat

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_equal_to_the_report_of_training(tmp_path):
    """Score by score what `egpo-trl train` reports for the same policy and rows."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = EvaluationConfig(
        model_name_or_path="demo", output_dir=str(tmp_path), dtype="float32", max_completion_length=64
    )
    done = evaluate(DemoSuite(num_demo_rows=12), config)
    model = AutoModelForCausalLM.from_pretrained(demo_policy_path(), dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    judged = judge_rows(model, tokenizer, make_rows(12, split="test"), ToolCallReward(), max_new_tokens=64)
    wanted = exact_match(judged)
    assert {row.category: row.score for row in done.summary.rows} == pytest.approx(wanted)
    found: Counter[str] = Counter()
    for counts in done.summary.reasons.values():
        found.update(counts)
    assert found == reasons(judged)


def judge(suite, row, text, prompts=None, finish_reason="stop"):
    suite.begin(prompts or PromptFormat())
    completion = Completion(text, finish_reason=finish_reason)
    (scored,) = suite.score([Sample(Item("i", "c", row), 0, (completion,))], None)
    return scored.score, scored.reason


def test_options_reach_the_reward():
    row = {"prompt": [{"role": "user", "content": "?"}], "tools": '[{"name": "a_b", "parameters": {}}]',
           "reference": '[{"name": "a.b", "arguments": {}}]'}  # fmt: skip
    hermes = '<tool_call>\n{"name": "a_b", "arguments": {}}\n</tool_call>'
    assert judge(DemoSuite(), row, hermes) == (0.0, "no_think_block")
    assert judge(DemoSuite(thinking="optional"), row, hermes)[1] != "no_think_block"
    assert judge(DemoSuite(thinking="off", dots_as_underscores=True), row, hermes) == (1.0, "correct")
    assert judge(DemoSuite(thinking="off", dots_as_underscores=True, allow_text=True), row, f"So: {hermes}")[0] == 1.0
    paper = PromptFormat("paper")
    assert judge(DemoSuite(dots_as_underscores=True), row, "<think>t</think>[a_b()]", paper) == (1.0, "correct")
    text = {**row, "reference": "[]"}
    assert judge(DemoSuite(thinking="off"), text, "No tool fits") == (1.0, "correct")
    assert judge(DemoSuite(thinking="off"), text, "No tool fits", finish_reason="length") == (0.0, "truncated")
    off = DemoSuite(thinking="off", dots_as_underscores=True)
    assert judge(off, row, hermes, finish_reason="length") == (1.0, "correct")
    with pytest.raises(ValueError, match="thinking must be one of"):
        DemoSuite(thinking="maybe")
    with pytest.raises(ValueError, match="num_demo_rows must be at least 1"):
        DemoSuite(num_demo_rows=0)


def test_the_first_queries_stay_the_same():
    few, many = DemoSuite(num_demo_rows=5).items(), DemoSuite(num_demo_rows=9).items()
    assert few == many[:5]
    assert {item.category for item in many} <= {"in order", "swapped", "two calls", "no tool"}


def test_rows_of_your_own(tmp_path):
    rows = make_rows(8)
    rows[1]["id"] = rows[0]["id"]
    file = tmp_path / "rows.jsonl"
    Dataset.from_list(rows).to_json(file)
    items = RowsSuite(dataset_name=str(file), max_rows=5).items()
    assert [item.id for item in items] == ["train-0-0", "train-0-0#1", "train-0-2", "train-0-3", "train-0-4"]
    assert [item.category for item in items] == [row["kind"] for row in rows[:5]]
    assert set(items[0].row) == {"prompt", "tools", "reference"}
    Dataset.from_list([{k: v for k, v in row.items() if k not in ("id", "kind", "source")} for row in rows]).to_json(
        file
    )
    plain = RowsSuite(dataset_name=str(file)).items()
    assert [(plain[0].id, plain[0].category), len(plain)] == [("row-0", "rows"), 8]
    file.write_text(json.dumps({"prompt": [{"role": "user", "content": "?"}], "reference": "["}) + "\n")
    with pytest.raises(ValueError, match="row 0, field 'reference'"):
        RowsSuite(dataset_name=str(file)).items()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        RowsSuite(dataset_name=str(tmp_path / "none.jsonl")).items()


def test_the_example_of_the_docs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "Suite" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(DOCS), "exec"), {"__name__": "example"})
    assert "europe" in capsys.readouterr().out
    lines = (tmp_path / "runs" / "capitals" / "completions.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines[1:]] == [0, 1]


COMMON = ["--model", "demo", "--num_demo_rows", "4", "--max_completion_length", "24"]


def test_the_commands(tmp_path, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    main(["evaluate", "demo", *COMMON, "--output_dir", str(one)])
    shown = capsys.readouterr()
    assert "95 % interval" in shown.out
    assert "Messages: style native, rendered by the chat template" in shown.out
    assert str(one / "summary.md") in shown.out
    assert "demo" not in shown.err  # no progress bar without a terminal
    main(["evaluate", "demo", *COMMON, "--output_dir", str(two), "--temperature", "1", "--num_samples", "2"])
    assert "pass@2" in capsys.readouterr().out
    main(["compare", f"greedy={one}", f"sampled={two}", "--output_dir", str(tmp_path / "both")])
    assert "greedy" in capsys.readouterr().out
    for name in ("comparison.md", "comparison.json", "comparison.png"):
        assert (tmp_path / "both" / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "dmo"], r"unknown suite 'dmo'\. Did you mean 'demo'\?"),
        (["evaluate", "demo", *COMMON, "--output_dir", "OUT", "--temprature", "1"], "did you mean 'temperature'"),
        (["evaluate", "demo", *COMMON, "--output_dir", "OUT", "--num_samples", "2"], "greedy samples are all equal"),
        (
            ["evaluate", "rows", "--model", "demo", "--output_dir", "OUT", "--dataset_name", "x.jsonl"],
            "there is no file",
        ),
        (
            ["evaluate", "demo", "--model", "demo", "--output_dir", "OUT", "--device", "tpu-9"],
            "egpo-trl evaluate demo: device",
        ),
        (
            ["evaluate", "demo", "--model", "OUT", "--output_dir", "OUT2"],
            "model_name_or_path: '.*' holds neither a model",
        ),
        (["compare", "OUT", "OUT2"], "does not hold a finished evaluation"),
        (["compare", "A=OUT,OUT2", "B=OUT"], "'A' names several runs"),
    ],
)
def test_bad_input_is_one_message(tmp_path, words, message):
    with pytest.raises(SystemExit, match=message):
        main([word.replace("OUT", str(tmp_path / "out")) for word in words])
