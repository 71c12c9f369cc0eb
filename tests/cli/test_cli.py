"""`egpo-trl train` from start to end on the embedded world, and what it says about bad input."""

import json
import logging
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl.cli import main, train
from egpo_trl.data.loading import load_rows
from egpo_trl.demo.world import make_rows
from egpo_trl.reports.before_after import pick_samples
from egpo_trl.reports.glossary import meaning_of
from egpo_trl.reports.run_log import read_config, read_log
from egpo_trl.runs.run_folder import check_checkpoint

QUICKSTART = Path(__file__).parents[2] / "configs" / "train" / "quickstart.yaml"
OWN = [
    "--config", str(QUICKSTART), "--max_steps", "2", "--logging_steps", "1", "--max_validation_rows", "6",
    "--per_device_train_batch_size", "16", "--max_completion_length", "48",
]  # fmt: skip
SHORT = [*OWN, "--num_demo_rows", "32"]


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)


def test_the_main_job_and_its_resumption(tmp_path, capsys):
    output = tmp_path / "run"
    train([*SHORT, "--save_steps", "1", "--output_dir", str(output)])
    shown = capsys.readouterr().out
    assert [row["id"] for row in load_rows(str(output / "held_out.jsonl"))] == [f"test-0-{n}" for n in range(6)]
    assert "note: 6 held-out rows are few" in shown
    for words in (
        "step    1/2",
        "reward",
        "left",
        "Exact match on 6 held-out rows",
        "greedy",
        "sampled",
        "Request:",
        str(output),
    ):
        assert words in shown
    for name in (
        "learning_curves.png", "learning_curves.svg", "before.json", "after.json", "trainer_state.json", "model.safetensors", "report.html",
        "log.jsonl", "run_config.json",
    ):  # fmt: skip
        assert (output / name).stat().st_size > 0
    assert AutoModelForCausalLM.from_pretrained(output)
    assert AutoTokenizer.from_pretrained(output).chat_template
    before = json.loads((output / "before.json").read_text())
    assert set(before["greedy"]["exact_match"]) >= {"all"}
    sample = before["greedy"]["completions"][0]
    assert "".join(text for text, _, _ in sample["tokens"]) == sample["completion"]
    log = read_log(output / "log.jsonl")
    assert log == read_log(output / "trainer_state.json")
    assert {name for entry in log for name in entry if meaning_of(name) is None} == {"step"}
    config = read_config(output)
    assert {"max_steps", "num_demo_rows", "bf16", "learning_rate"} <= set(config["changed"])
    assert "egpo_lambda" not in config["changed"]
    assert config["fields"]["hub_token"] in (None, "<HUB_TOKEN>")
    weights = (output / "model.safetensors").read_bytes()
    train([*SHORT, "--save_steps", "1", "--output_dir", str(output), "--resume_from_checkpoint",
           str(output / "checkpoint-1")])  # fmt: skip
    assert (output / "model.safetensors").read_bytes() == weights
    assert json.loads((output / "before.json").read_text()) == before
    log = read_log(output)
    assert [entry["step"] for entry in log if "reward" in entry] == [1, 2]  # nothing twice
    assert [entry["step"] for entry in log if "eval_exact_match/greedy" in entry] == [0, 2]


def test_rows_of_your_own_in_the_papers_style(tmp_path):
    rows = tmp_path / "rows.jsonl"
    Dataset.from_list(make_rows(24)).to_json(rows)
    (tmp_path / "run").mkdir()
    for name in ("before.json", "after.json"):  # of an earlier run: the report must not show them
        (tmp_path / "run" / name).write_text("{")
    train([
        *OWN, "--output_dir", str(tmp_path / "run"), "--dataset_name", str(rows), "--validation_share", "0.2",
        "--prompt_style", "paper", "--max_steps", "1", "--max_completion_length", "8", "--report", "false",
    ])  # fmt: skip
    log = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert log[0]["reward"] == 0.0  # this policy has never seen the paper's style
    assert (tmp_path / "run" / "learning_curves.png").exists()
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("egpo_lamda", 0.4, r"unknown field in the config file 'egpo_lamda', did you mean 'egpo_lambda'\?"),
        ("egpo_alpha", 1, "egpo_alpha must be greater than 1"),
        ("dataset_name", "none.jsonl", r"there is no file 'none\.jsonl'"),
        ("resume_from_checkpoint", "nowhere", "is not a complete checkpoint"),
        ("num_generations", 7, "must be divisible by num_generations"),
    ],
)
def test_bad_config(tmp_path, field, value, message):
    config = yaml.safe_load(QUICKSTART.read_text()) | {field: value, "output_dir": str(tmp_path / "run")}
    if field == "dataset_name":
        del config["num_demo_rows"]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit, match=message):
        train(["--config", str(path)])
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_bad_command_line(tmp_path):
    with pytest.raises(SystemExit, match=r"unknown option 'egpo_lamda', did you mean"):
        train([*SHORT, "--output_dir", str(tmp_path), "--egpo_lamda", "1"])
    with pytest.raises(SystemExit, match=r"no file or recipe is called"):
        train(["--config", str(tmp_path / "none.yaml")])


def test_bad_rows_stop_the_run_before_a_model_is_loaded(tmp_path):
    rows = make_rows(4)
    rows[2]["reference"] = "[{]"
    path = tmp_path / "rows.jsonl"
    Dataset.from_list(rows).to_json(path)
    with pytest.raises(SystemExit, match=r"1 malformed\n  row 2 \(id 'train-0-2'\), field 'reference'"):
        train(
            [
                *OWN,
                "--output_dir",
                str(tmp_path / "run"),
                "--dataset_name",
                str(path),
                "--model_name_or_path",
                "none",
            ]
        )


def test_checkpoints(tmp_path):
    assert check_checkpoint(None, tmp_path) is check_checkpoint("false", tmp_path) is None
    with pytest.raises(ValueError, match="holds no checkpoint"):
        check_checkpoint("true", tmp_path)
    (tmp_path / "checkpoint-1").mkdir()
    assert check_checkpoint("true", tmp_path) is True
    (tmp_path / "trainer_state.json").write_text("{")
    with pytest.raises(ValueError, match="is not a complete checkpoint"):
        check_checkpoint(str(tmp_path), tmp_path)
    (tmp_path / "trainer_state.json").write_text('{"global_step": 1}')
    assert check_checkpoint(tmp_path, tmp_path) == str(tmp_path)


def test_samples_show_gains_and_a_failure():
    before = {"completions": [{"score": s} for s in (0, 0, 1, 0, 0)]}
    after = {"completions": [{"score": s} for s in (1, 0, 1, 1, 1)]}
    assert pick_samples(before, after, 3) == [0, 3, 1]
    assert pick_samples(before, before, 3) == [0, 2]


def test_qlora(tmp_path):
    """A 4-bit base with LoRA adapters, on CPU: what is saved is the adapter, and it loads onto the base."""
    from peft import AutoPeftModelForCausalLM

    output = tmp_path / "run"
    train([
        *SHORT, "--output_dir", str(output), "--load_in_4bit", "true", "--use_peft", "true", "--lora_target_modules",
        "all-linear", "--max_steps", "1", "--report", "false", "--save_strategy", "no",
    ])  # fmt: skip
    assert (output / "adapter_model.safetensors").exists()
    assert not (output / "model.safetensors").exists()
    model = AutoPeftModelForCausalLM.from_pretrained(output)
    assert any("lora" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ('{"a": 1', [], "rows.jsonl' cannot be read: "),
        ("", [], "rows.jsonl' cannot be read: "),
        (None, ["--dataset_name", "demo", "--model_name_or_path", "/no/such/model"], "/no/such/model"),
        (None, ["--dataset_name", "demo", "stray"], "unexpected argument 'stray'"),
        (None, ["--dataset_name", "demo", "--prompt_style", "paper", "--enable_thinking", "false", "--egpo_lambda", "0"],
         "contradicts enable_thinking=False"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message(tmp_path, content, options, message):
    rows = tmp_path / "rows.jsonl"
    if content is not None:
        rows.write_text(content)
        options = ["--dataset_name", str(rows)]
    with pytest.raises(SystemExit, match=r"^egpo-trl train: ") as error:
        train([*OWN, "--output_dir", str(tmp_path / "run"), *options])
    assert message in str(error.value)


def test_a_broken_config_file(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("{a: 1")
    with pytest.raises(SystemExit, match=r"^egpo-trl train: "):
        train(["--config", str(config)])


def test_from_a_public_format_to_clean_rows(tmp_path, capsys):
    """convert, then clean without a judge: the rows train."""
    records = [
        {"id": i, "query": f"Add {i} and 2", "tools": json.dumps([{"name": "add", "description": "Add.", "parameters": {
            "a": {"type": "int", "description": "a"}, "b": {"type": "int, optional", "description": "b", "default": 2}}}]),
         "answers": json.dumps([{"name": "add", "arguments": {"a": i, "c" if i == 3 else "b": 2}}])}
        for i in range(6)
    ]  # fmt: skip
    source, rows = tmp_path / "xlam.json", tmp_path / "rows.jsonl"
    source.write_text(json.dumps([*records, {"id": 9, "query": "?", "tools": "{", "answers": "[]"}]))
    main(["convert", "--dataset_name", str(source), "--output", str(rows)])
    assert "6 rows from 7 records, 1 skipped (tools 1)" in capsys.readouterr().out
    main(["convert", str(source), "--source", "xlam", "--output", str(rows.with_suffix(".parquet"))])
    for column in ("id", "tools", "reference", "answer"):
        assert load_rows(str(rows.with_suffix(".parquet")))[column] == load_rows(str(rows))[column]
    for words, message in (
        (["--output", "rows.csv"], r"output: 'rows\.csv' must end in"),
        (["--output", str(rows), "--keep_system", "true"], "the source 'xlam' has no option 'keep_system'"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(["convert", "--dataset_name", str(source), "--source", "xlam", *words])
    output = tmp_path / "clean"
    main(
        [
            "clean",
            "--dataset_name",
            str(rows),
            "--backend",
            "none",
            "--output_dir",
            str(output),
            "--output_format",
            "jsonl",
        ]
    )
    kept = [json.loads(line) for line in (output / "rows.jsonl").read_text().splitlines()]
    assert len(kept) == 5
    assert "unexpected_argument" in (output / "dropped.jsonl").read_text()
    train([
        *OWN, "--dataset_name", str(output / "rows.jsonl"), "--output_dir", str(tmp_path / "run"), "--max_steps", "1",
        "--validation_share", "0.2", "--report", "false", "--save_strategy", "no",
    ])  # fmt: skip
    assert (tmp_path / "run" / "model.safetensors").exists()
