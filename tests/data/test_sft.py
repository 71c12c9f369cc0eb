"""Rows as conversations, rendered by real chat templates, and two steps of TRL's own SFT on them."""

import json
import logging
from pathlib import Path

import pytest
from datasets import Dataset, Features, Json, List, Value, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl import ToolCallReward
from egpo_trl.cli import main
from egpo_trl.data.prompts import to_messages
from egpo_trl.data.rendering import PromptRenderer
from egpo_trl.data.sft import NO_CALL_TEXT, Conversations
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from tests.data.templates import row_of, with_template

QUICKSTART = Path(__file__).parents[2] / "configs" / "sft" / "quickstart.yaml"
ROWS = make_rows(40)


def rendered_answer(tokenizer, example):
    tools = json.loads(example["tools"] or "[]") or None
    prompt = tokenizer.apply_chat_template(example["prompt"], tools=tools, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(example["prompt"] + example["completion"], tools=tools, tokenize=False)
    assert whole.startswith(prompt)
    return whole[len(prompt) :].removesuffix("\n").removesuffix("<|im_end|>")


@pytest.mark.parametrize("name", ["tiny", "qwen3"])
def test_the_reward_accepts_what_sft_trains_on(request, name):
    tokenizer = request.getfixturevalue(f"{name}_tokenizer")
    reward = ToolCallReward(syntax="hermes", thinking="optional")
    for row, example in zip(ROWS, Conversations().dataset(Dataset.from_list(ROWS)), strict=True):
        text = rendered_answer(tokenizer, example)
        verdict = reward.judge(text, row["reference"], row["tools"], row["prompt"])
        assert verdict.score == 1, (text, verdict)


@pytest.mark.parametrize("name", ["tiny", "smollm2"])
@pytest.mark.parametrize("thought_column", [None, "thought"])
def test_the_reward_accepts_what_sft_trains_on_in_the_style_of_the_paper(request, name, thought_column):
    tokenizer = request.getfixturevalue(f"{name}_tokenizer")
    reward = ToolCallReward(syntax="pythonic", thinking="required" if thought_column else "optional")
    rows = Dataset.from_list([{**row, "thought": "let me see"} for row in ROWS])
    for row, example in zip(
        rows, Conversations(prompt_style="paper", thought_column=thought_column).dataset(rows), strict=True
    ):
        assert example["prompt"] == to_messages(row, "paper")
        assert "tools" not in example
        (answer,) = example["completion"]
        assert answer.keys() == {"role", "content"}
        text = rendered_answer(tokenizer, {**example, "tools": "[]"})
        verdict = reward.judge(text, row["reference"], row["tools"], row["prompt"])
        assert verdict.score == 1, (text, verdict)
        assert ("let me see" in text) == bool(thought_column)


def test_the_history_in_both_styles():
    call = {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    history = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "content": "7", "tool_call_id": "toolu_1"},
    ]
    row = {"prompt": history, "tools": "[]", "reference": "[]", "answer": "It is 7."}
    native, paper = (
        Conversations(sft_format="messages", prompt_style=style)(row)["messages"] for style in ("native", "paper")
    )
    assert native[1]["tool_calls"][0]["function"]["arguments"] == {"x": 1}
    assert native[-1] == paper[-1] == {"role": "assistant", "content": "It is 7."}
    assert paper[2] == {"role": "assistant", "content": "Let me look.\n[f(x=1)]"}
    with pytest.raises(ValueError, match="prompt_style must be one of"):
        Conversations(prompt_style="chatml")


def test_no_stock_sentence_after_a_tool_result(tmp_path, caplog):
    """A row converted before texts were kept: declining would be wrong, and nobody knows what was said."""
    after = [{"role": "user", "content": "?"}, {"role": "tool", "content": "7"}]
    rows = [{**ROWS[0], "prompt": after, "reference": "[]", "answer": text} for text in ("It is 7.", None, " ")]
    rows.append({**ROWS[0], "reference": "[]", "answer": None})
    with caplog.at_level(logging.WARNING, "egpo_trl.data.sft"):
        found = Conversations().dataset(Dataset.from_list(rows))
    assert [example["completion"][0]["content"] for example in found] == ["It is 7.", NO_CALL_TEXT]
    assert "2 of 4 rows are left out" in caplog.messages[0]
    with pytest.raises(ValueError, match="the column 'answer' does not hold it"):
        Conversations()(rows[1])
    with pytest.raises(ValueError, match="no row has an answer to train on"):
        Conversations().dataset(Dataset.from_list(rows[1:3]))
    with pytest.raises(ValueError, match="field 'answer': must be a text or null, got int"):
        Conversations().dataset(Dataset.from_list([{**ROWS[0], "answer": 3}]))


def test_converted_texts_are_trained_on(tmp_path):
    from egpo_trl.data.sources import convert
    from tests.data.sources.test_sharegpt import APIGEN_MT

    (tmp_path / "records.jsonl").write_text(json.dumps(APIGEN_MT))
    rows = Dataset.from_list(list(convert(str(tmp_path / "records.jsonl"), "apigen_mt")))
    answers = [example["completion"][0] for example in Conversations().dataset(rows)]
    assert [answer["content"] for answer in answers] == ["", "Order #W1 is on its way.", "You are welcome."]
    assert NO_CALL_TEXT not in str(answers)


def test_thoughts(qwen3_tokenizer):
    row = {**ROWS[0], "thought": "let me see"}
    example = Conversations(thought_column="thought")(row)
    assert "<think>\nlet me see\n</think>" in rendered_answer(qwen3_tokenizer, example)
    with pytest.raises(ValueError, match="thought_column: the rows lack the column 'idea'"):
        Conversations(thought_column="idea")(row)


@pytest.mark.parametrize(
    ("calls", "thought"),
    [
        ([], "None of the functions fits the request."),
        ([("ping", {})], "The request needs ping with nothing."),
        ([("f", {"a": 1, "b": "x"}), ("g", {"c": None})], "The request needs f with a 1, b 'x', then g with c None."),
    ],
)
def test_written_thoughts(calls, thought):
    reference = json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])
    row = {**ROWS[0], "reference": reference, "thought": ""}
    for column in (None, "thought"):
        writer = Conversations(prompt_style="paper", thought_column=column, write_thoughts=True)
        assert writer(row)["completion"][0]["content"].startswith(f"<think>{thought}</think>")
    own = Conversations(prompt_style="paper", thought_column="thought", write_thoughts=True)({**row, "thought": "hm"})
    assert own["completion"][0]["content"].startswith("<think>hm</think>")


def test_text_answers():
    row = next(row for row in ROWS if row["reference"] == "[]")
    assert Conversations()(row)["completion"] == [{"role": "assistant", "content": NO_CALL_TEXT}]
    assert Conversations()({**row, "answer": "Which city?"})["completion"][0]["content"] == "Which city?"


def test_messages_keep_arguments_as_they_are(tmp_path):
    history = [
        {"role": "user", "content": "hi", "tool_calls": None},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}],
        },
    ]
    example = Conversations(sft_format="messages")({**ROWS[0], "prompt": history, "answer": "Done."})
    assert "tool_calls" not in example["messages"][0]
    assert example["messages"][1]["content"] == ""  # templates fail on null
    main(["sft-data", "--dataset_name", "demo", "--output", str(tmp_path / "sft.parquet"), "--sft_format", "messages"])
    loaded = load_dataset("parquet", data_files=str(tmp_path / "sft.parquet"), split="train")
    for row, original in zip(loaded, make_rows(4000), strict=True):
        calls = [call["function"] for call in row["messages"][-1].get("tool_calls", [])]
        assert calls == json.loads(original["reference"])
    Dataset.from_list(ROWS).to_json(tmp_path / "rows.jsonl")
    main(["sft-data", "--dataset_name", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "sft.jsonl")])
    first = json.loads((tmp_path / "sft.jsonl").read_text().splitlines()[0])
    assert first == {**Conversations()(ROWS[0]), "id": ROWS[0]["id"], "source": ROWS[0]["source"]}


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="sft_format must be one of"):
        Conversations(sft_format="chatml")
    with pytest.raises(ValueError, match="rendered string"):
        Conversations()({**ROWS[0], "prompt": "hi"})
    for rows, file, message in (
        ("none.jsonl", "x.jsonl", r"there is no file 'none\.jsonl'"),
        ("demo", "x.txt", r"must end in \.jsonl or \.parquet"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(["sft-data", "--dataset_name", rows, "--output", str(tmp_path / file)])


@pytest.mark.parametrize("prompt_style", ["native", "paper"])
def test_two_steps_of_sft_on_the_tiny_policy(tmp_path, capsys, prompt_style):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    main([
        "sft", "--config", str(QUICKSTART), "--output_dir", str(tmp_path), "--max_steps", "2", "--num_demo_rows", "24",
        "--per_device_train_batch_size", "8", "--logging_steps", "1", "--disable_tqdm", "true",
        "--prompt_style", prompt_style,
    ])  # fmt: skip
    assert f"model: {tmp_path}" in capsys.readouterr().out
    log = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2]
    trained, start = (AutoModelForCausalLM.from_pretrained(path) for path in (tmp_path, demo_policy_path()))
    assert any((a != b).any() for a, b in zip(trained.parameters(), start.parameters(), strict=True))
    with pytest.raises(SystemExit, match="unknown option 'leraning_rate', did you mean 'learning_rate'"):
        main(["sft", "--config", str(QUICKSTART), "--leraning_rate", "1"])


def test_calls_in_the_history_are_what_templates_take():
    """Rows hold arguments as JSON strings; most templates would quote them a second time."""
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    row = {
        "prompt": [
            {"role": "user", "content": "?", "tool_calls": None},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "7", "tool_calls": None},
        ],
        "tools": "[]",
        "reference": '[{"name": "f", "arguments": {"x": 2}}]',
    }
    prompt = Conversations()(row)["prompt"]
    assert prompt[1]["tool_calls"][0]["function"]["arguments"] == {"x": 1}
    assert "tool_calls" not in prompt[0]


# Through the command, with the chat templates of other families


def model_with(folder, template):
    """The embedded policy with another chat template."""
    tokenizer = with_template(AutoTokenizer.from_pretrained(demo_policy_path()), template)
    AutoModelForCausalLM.from_pretrained(demo_policy_path()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def sft(tmp_path, template, rows, *options):
    lines = [json.dumps({**row, "id": f"w{index}"}) + "\n" for index, row in enumerate(rows)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    main([
        "sft", "--config", str(QUICKSTART), "--output_dir", str(tmp_path / "run"), "--max_steps", "1",
        "--model_name_or_path", model_with(tmp_path / "model", template), "--dataset_name", str(tmp_path / "rows.jsonl"),
        "--per_device_train_batch_size", "2", "--disable_tqdm", "true", "--max_length", "4096", *options,
    ])  # fmt: skip
    log = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    return log[-1]["train_loss"]


@pytest.mark.parametrize(
    ("template", "style"),
    [
        ("qwen2_5", "native"),
        ("qwen3_5_nothink", "native"),  # iterates over arguments
        ("glm4moe", "native"),
        ("llama3_1", "native"),
        ("mistral", "native"),  # ids of nine letters or digits
        ("kimi", "native"),  # ids with the name of the function
        ("deepseekv3", "paper"),  # joins content and arguments to texts
        ("phi3_5", "paper"),  # knows no results
        ("gemma", "paper"),  # knows no system message
    ],
)
def test_sft_with_the_templates_of_families(tmp_path, template, style):
    rows = [row_of(name) for name in ("call", "content null", "no ids", "parts")]
    assert sft(tmp_path, template, rows, "--prompt_style", style) > 0


@pytest.mark.parametrize(
    ("template", "history", "message"),
    [
        (
            "llama3_1",
            "two calls",
            r"row 1 \(id 'w1'\), the chat template does not render it: TemplateError: This model only",
        ),
        (
            "lfm2",
            "user",
            r"row 1 \(id 'w1'\), the chat template does not show the call of 'get_weather' of the answer",
        ),
        ("phi3_5", "user", "ignores tools"),
        ("qwen2_5_vl", "user", "ignores tools"),
        ("joined", "user", "which nothing here reads"),
    ],
)
def test_sft_refuses_what_train_refuses(tmp_path, template, history, message):
    with pytest.raises(SystemExit, match=message) as error:
        sft(tmp_path, template, [row_of("user", "[]"), row_of(history)])
    assert str(error.value).count("\n") <= 3


def test_sft_drops_bad_rows(tmp_path, caplog):
    rows = [row_of("call"), row_of("two calls"), row_of("user", '[{"name": "gone", "arguments": {}}]'), row_of("user")]
    with pytest.raises(SystemExit, match=r"2 of 4 rows \(50.0%\) .*: 1 template_refuses, 1 unknown_function"):
        sft(tmp_path, "llama3_1", rows)
    assert sft(tmp_path, "llama3_1", rows, "--bad_rows", "drop") > 0
    assert "2 of 4 rows" in caplog.text


@pytest.mark.parametrize("style", ["native", "paper"])
def test_sft_refuses_rows_that_would_be_cut(tmp_path, style):
    """TRL cuts at `max_length` without a word."""
    rows = [row_of("user"), row_of("call")]
    options = ["--prompt_style", style, "--max_length", "64"]
    with pytest.raises(SystemExit, match=r"2 of 2 rows .*2 too_long\n.*tokens, and max_length 64 would cut it"):
        sft(tmp_path, "qwen2_5", rows, *options)
    assert sft(tmp_path, "qwen2_5", rows, *options[:-1], "1000") > 0


@pytest.mark.parametrize("style", ["native", "paper"])
@pytest.mark.parametrize("template", ["qwen3", "mistral", "kimi", "joined", "llama3_1", "qwen3_5_think"])
def test_prompts_of_sft_are_those_of_training(tiny_tokenizer, template, style):
    """TRL's trainer renders the messages that it gets; the result must be the prompt that `train` and `evaluate` render."""
    tokenizer = with_template(tiny_tokenizer, template)
    renderer = PromptRenderer(tokenizer, style)
    rows = [row_of(name) for name in ("call", "content null", "no ids", "system", "parts")]
    rows.append({**row_of("user"), "tools": "[]", "reference": "[]"})
    text = Value("string")
    features = Features(id=text, prompt=List(Json()), tools=text, reference=text)
    written = Conversations(renderer).dataset(Dataset.from_list(rows, features=features))
    for row, example in zip(rows, written, strict=True):
        tools = json.loads(example["tools"]) if example.get("tools") else None
        ids = tokenizer.apply_chat_template(example["prompt"], tools=tools, add_generation_prompt=True)["input_ids"]
        assert ids == renderer(row)


def test_sft_data_for_a_tokenizer(tmp_path):
    """The file holds the form that the model's chat template takes."""
    model = model_with(tmp_path / "model", "mistral")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row_of("no ids")))
    options = ["--dataset_name", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "sft.jsonl")]
    main(["sft-data", *options, "--model", model])
    (line,) = (tmp_path / "sft.jsonl").read_text().splitlines()
    assert [call["id"] for m in json.loads(line)["prompt"] for call in m.get("tool_calls", [])] == ["call00000"]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row_of("user", '[{"name": "gone", "arguments": {}}]')))
    with pytest.raises(SystemExit, match="1 unknown_function"):
        main(["sft-data", *options])
