"""Rows whose own reference earns nothing, or breaks its functions, by every door: trainer, `train`, `evaluate`, stream."""

import json
import logging

import pytest
from datasets import Dataset, IterableDataset

from egpo_trl import ToolCallReward
from egpo_trl.cli import main
from egpo_trl.data.ast_evaluation import schema_problem
from egpo_trl.evaluation.row_suites import RowsSuite
from egpo_trl.rollouts.policy import Policy
from egpo_trl.rollouts.tool_guard import ToolLimits
from egpo_trl.sampling.sampler import PromptFormat
from tests.data.templates import NAMES, with_template
from tests.tiny import train

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"type": "string", "enum": ["C", "F"]},
    },
    "required": ["city"],
}


def row(name="get_weather", arguments=None, tools=None, calls=None, **columns) -> dict:
    """A row whose reference is one call, of a function that it offers unless `tools` says otherwise."""
    calls = (
        [{"name": name, "arguments": {"city": "Oslo"} if arguments is None else arguments}] if calls is None else calls
    )
    offered = {one["name"]: {"type": "function", "function": {"name": one["name"], "description": "Do it.", "parameters": PARAMETERS}}
               for one in calls or [{"name": name}]}  # fmt: skip
    tools = list(offered.values()) if tools is None else tools
    prompt = [{"role": "user", "content": "Weather in Oslo?"}]
    return {"prompt": prompt, "tools": json.dumps(tools), "reference": json.dumps(calls), **columns}


def free(name, arguments) -> dict:
    """A row whose function takes any arguments."""
    function = {"name": name, "description": "Do it.", "parameters": {"type": "object", "additionalProperties": True, "properties": {}}}  # fmt: skip
    return row(name, arguments, [{"type": "function", "function": function}])


# What the row does wrong, the syntax of the run, and the reason. Add a line for another.
BAD = {
    "a call and no function": (row(tools=[]), "hermes", "call_not_needed"),
    "unknown function": (row(tools=[{"name": "other", "parameters": {}}]), "hermes", "unknown_function"),
    "missing argument": (row(arguments={"days": 2}), "hermes", "missing_argument"),
    "unexpected argument": (row(arguments={"city": "Oslo", "town": "x"}), "hermes", "unexpected_argument"),
    "enum": (row(arguments={"city": "Oslo", "unit": "K"}), "hermes", "wrong_value"),
    "type": (row(arguments={"city": 7}), "hermes", "wrong_type"),
    "2.0 for an integer": (row(arguments={"city": "Oslo", "days": 2.0}), "hermes", "wrong_type"),
    "hyphen": (row("get-weather"), "pythonic", "malformed_call"),
    "blank": (row("get weather"), "pythonic", "malformed_call"),
    "keyword": (free("f", {"from": "Oslo"}), "pythonic", "malformed_call"),
    "letters that Python rewrites": (free("f", {"\ufb01eld": "Oslo"}), "pythonic", "malformed_call"),
    "too many calls": (row(calls=[{"name": "get_weather", "arguments": {"city": str(n)}} for n in range(129)]), "hermes", "malformed_call"),
    "too long": (row(arguments={"city": "x" * 99_990}), "hermes", "malformed_call"),
}  # fmt: skip

GOOD = {
    "call": (row(), "hermes"),
    "pythonic": (row(), "pythonic"),
    "json": (row(), "json"),
    "two calls": (row(calls=[{"name": "get_weather", "arguments": {"city": c}} for c in "ab"]), "hermes"),
    "hyphen in Hermes": (row("get-weather"), "hermes"),
    "keyword in Hermes": (free("f", {"from": "Oslo"}), "hermes"),
    "text": (row(calls=[]), "hermes"),
    "text without functions": (row(calls=[], tools=[]), "pythonic"),
    "quotes and lines": (free("f", {"a": 'He said "x"\n\\n </tool_call>', "b": [1, None, {"c": True}]}), "pythonic"),
}  # fmt: skip


def reason_of(tokenizer, one, syntax, **options):
    policy = Policy(tokenizer, {}, options.pop("think_tags", None), (), ToolLimits(1.0, 100), ())
    reward = ToolCallReward(syntax=syntax, **options).for_policy(policy)
    found = schema_problem(one) or reward.row_problem(one, policy)
    return None if found is None else found[0]


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_by_reason(tiny_tokenizer, name):
    one, syntax, reason = BAD[name]
    assert reason_of(tiny_tokenizer, one, syntax) == reason


@pytest.mark.parametrize("thinking", ["required", "optional", "off"])
@pytest.mark.parametrize("name", GOOD)
def test_good_rows(tiny_tokenizer, name, thinking):
    one, syntax = GOOD[name]
    assert reason_of(tiny_tokenizer, one, syntax, thinking=thinking) is None


def test_lists_of_acceptable_values(tiny_tokenizer):
    reference = [{"name": "get_weather", "arguments": {"city": ["Oslo", "oslo"], "days": ["", 2], "unit": ["C"]}}]
    one = row(calls=[{"name": "get_weather", "arguments": {}}]) | {"reference": json.dumps(reference)}
    policy = Policy(tiny_tokenizer, {}, None, (), ToolLimits(1.0, 100), ())
    reward = ToolCallReward(comparison="bfcl").for_policy(policy)
    assert not reward.has_plain_reference
    assert reward.row_problem(one, policy) is None
    wrong = {**one, "reference": json.dumps([{"name": "get_weather", "arguments": {"days": [2]}}])}
    assert reward.row_problem(wrong, policy)[0] == "missing_argument"


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_training")])
def test_every_template_that_has_a_reader_writes_what_it_reads(tiny_tokenizer, name):
    tokenizer = with_template(tiny_tokenizer, name)
    try:
        ToolCallReward().bind(tokenizer)
    except ValueError as error:
        assert "nothing here reads" in str(error) or "mentions tools" in str(error)  # noqa: PT017
        return
    for one in (row(), row(calls=[]), row(calls=[{"name": "get_weather", "arguments": {"city": c}} for c in "ab"])):
        assert reason_of(tokenizer, one, "auto", thinking="optional") is None
        assert reason_of(tokenizer, one, "auto") in (None, "no_think_block")


@pytest.mark.parametrize(
    ("template", "options", "reason"),
    [
        ("qwen3", {}, None),
        ("qwen3_instruct_2507", {}, "no_think_block"),  # the vocabulary has the tags, the template does not use them
        ("qwen3_instruct_2507", {"thinking": "required"}, "no_think_block"),
        ("qwen3_instruct_2507", {"thinking": "optional"}, None),
        ("qwen3_instruct_2507", {"think_tags": ["<think>", "</think>"]}, None),  # named: the model thinks unasked
        ("llama3_1", {}, "no_think_block"),
    ],
)
def test_a_think_block_that_nobody_asks_for(tiny_tokenizer, template, options, reason):
    tokenizer = with_template(tiny_tokenizer, template)
    assert reason_of(tokenizer, row(), "auto", **options) == reason
    asked = {**row(), "prompt": [{"role": "user", "content": "Think inside <think></think> first."}]}
    assert reason_of(tokenizer, asked, "auto", **options) is None


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (row(), None),
        (row(calls=[{"name": "get_weather", "arguments": {"city": c}} for c in "ab"]), "truncated"),
        (free("f", {"a": "x<|call|>y"}), "truncated"),
        (free("f", {"a": "x<|call|>"}), "truncated"),
        (row(calls=[]), None),
    ],
)
def test_gpt_oss_ends_its_turn_at_the_first_call(tiny_tokenizer, one, reason):
    """`<|call|>` ends generation, and OpenAI's template holds one call a message: two in one turn are not generated."""
    tokenizer = with_template(tiny_tokenizer, "gptoss")
    tokenizer.add_tokens(["<|call|>", "<|return|>"], special_tokens=True)
    policy = Policy(tokenizer, {}, None, (tokenizer.convert_tokens_to_ids("<|call|>"),), ToolLimits(1.0, 100), ())
    found = ToolCallReward().for_policy(policy).row_problem(one, policy)
    assert (None if found is None else found[0]) == reason


# By every door


def mixed() -> list[dict]:
    rows = [row() for _ in range(8)]
    rows[3], rows[5] = row(tools=[]), BAD["enum"][0]
    asked = [[{"role": "user", "content": f"Weather in Oslo in {index} days?"}] for index in range(8)]
    return [{**one, "id": f"w{index}", "prompt": asked[index]} for index, one in enumerate(rows)]


COUNTED = r"2 of 8 rows \(25.0%\) cannot be used as they are: 1 call_not_needed, 1 wrong_value\n  row 3 \(id 'w3'\)"


def test_the_trainer(tmp_path, tiny_tokenizer, caplog):
    options = {"dataset": Dataset.from_list(mixed()), "reward": ToolCallReward(), "max_steps": 1}
    with pytest.raises(ValueError, match=COUNTED):
        train(tmp_path, tiny_tokenizer, **options)
    trainer = train(tmp_path, tiny_tokenizer, bad_rows="drop", **options)
    assert trainer.train_dataset["id"] == ["w0", "w1", "w2", "w4", "w6", "w7"]
    assert trainer.check_rows("more", Dataset.from_list(mixed()))["id"] == trainer.train_dataset["id"]
    trainer = train(tmp_path, tiny_tokenizer, bad_rows="keep", **options)
    assert trainer.train_dataset is options["dataset"]
    assert "They are used" in caplog.text
    with pytest.raises(ValueError, match="bad_rows must be one of"):
        train(tmp_path, tiny_tokenizer, bad_rows="ignore", **options)


def test_names_that_the_syntax_of_the_run_cannot_write(tmp_path, tiny_tokenizer):
    rows = Dataset.from_list([row("get-weather", id="w0")] * 4)
    train(tmp_path, tiny_tokenizer, dataset=rows, reward=ToolCallReward(), max_steps=1)
    with pytest.raises(ValueError, match="4 malformed_call") as error:
        train(tmp_path, tiny_tokenizer, dataset=rows, reward=ToolCallReward(syntax="pythonic"))
    assert "get-weather" in str(error.value)


def test_a_text_that_the_template_loses(tmp_path, tiny_tokenizer):
    tokenizer = with_template(tiny_tokenizer, "gptoss")
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}} for n in "ab"]  # fmt: skip
    history = [*row()["prompt"], {"role": "assistant", "content": "", "tool_calls": calls}]
    history += [{"role": "tool", "tool_call_id": call["id"], "content": "3"} for call in calls]
    rows = Dataset.from_list([{**row(), "prompt": history}] * 4)
    with pytest.raises(
        ValueError, match=r"4 of 4 rows .*: 4 not_in_prompt\n  row 0, the chat template does not show the call"
    ):
        train(tmp_path, tokenizer, dataset=rows, egpo_lambda=0.0)


def test_streams_skip_bad_rows_and_stay_the_objects_that_were_given(tmp_path, tiny_tokenizer, caplog):
    stream = IterableDataset.from_generator(lambda: iter(mixed()))
    with caplog.at_level(logging.WARNING, "egpo_trl.data.rows"):
        trainer = train(
            tmp_path, tiny_tokenizer, dataset=stream, eval_dataset=stream, reward=ToolCallReward(), max_steps=1,
            eval_strategy="steps", eval_steps=1,
        )  # fmt: skip
    assert trainer.train_dataset is stream
    assert trainer.eval_dataset is stream
    assert "train_dataset: skipped row 3 (id 'w3')" in caplog.text
    assert "eval_dataset: skipped row 5 (id 'w5')" in caplog.text


def write(path, rows):
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return str(path)


def test_the_commands(tmp_path, tiny_tokenizer):
    rows = write(tmp_path / "rows.jsonl", mixed())
    config = ["--config", "configs/train/quickstart.yaml", "--output_dir", str(tmp_path / "run"), "--max_steps", "1"]
    config += ["--per_device_train_batch_size", "16"]
    with pytest.raises(SystemExit, match="egpo-trl train: train_dataset: "):
        main(["train", *config, "--dataset_name", rows, "--report", "false"])
    with pytest.raises(SystemExit, match=COUNTED):
        main(
            [
                "sft",
                "--config",
                "configs/sft/quickstart.yaml",
                "--output_dir",
                str(tmp_path / "sft"),
                "--dataset_name",
                rows,
            ]
        )
    evaluation = [
        "evaluate",
        "rows",
        "--model",
        "demo",
        "--max_completion_length",
        "8",
        "--dataset_name",
        rows,
        "--output_dir",
    ]
    with pytest.raises(SystemExit, match=COUNTED):
        main([*evaluation, str(tmp_path / "eval")])
    main([*evaluation, str(tmp_path / "dropped"), "--bad_rows", "drop"])
    lines = (tmp_path / "dropped" / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["w0", "w1", "w2", "w4", "w6", "w7"]


def test_an_evaluation_with_a_template_that_ignores_tools(tmp_path, tiny_tokenizer):
    suite = RowsSuite(dataset_name=write(tmp_path / "rows.jsonl", [row()]))
    suite.begin(PromptFormat(tokenizer=with_template(tiny_tokenizer, "phi3_5")))
    with pytest.raises(ValueError, match="ignores tools"):
        suite.items()
    suite.begin(PromptFormat("paper", tokenizer=with_template(tiny_tokenizer, "phi3_5")))
    assert len(suite.items()) == 1
