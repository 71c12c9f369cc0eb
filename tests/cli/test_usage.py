"""What the command line says: help, version, recipes, and one message with exit code 2 for wrong usage."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from egpo_trl import __version__
from egpo_trl.cli import main
from egpo_trl.cli.commands import COMMANDS, command_parser, make_parser
from egpo_trl.cli.config_file import read_yaml
from egpo_trl.cli.failure import Failure, one_message
from egpo_trl.cli.no_effect import RULES
from egpo_trl.cli.recipes import configs_folder, recipes
from egpo_trl.cli.table import SUITES

LEAVES = [name for name in COMMANDS if name != "evaluate"] + [f"evaluate {suite}" for suite in SUITES]
SAMPLES = str(Path(__file__).parents[1] / "data" / "sources" / "samples")
DEMO = "--config quickstart --output_dir OUT"


@pytest.mark.parametrize("command", LEAVES)
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: egpo-trl {command}")
    assert len(shown.splitlines()) < 280


@pytest.mark.parametrize("command", ["train", "sft", "plan"])
def test_help_shows_ours_first_and_the_rest_on_demand(command, capsys):
    parser = command_parser(command)
    short = parser.format_help()
    assert short.index("--dataset_name") < short.index("--learning_rate")
    assert "--adam_beta1" not in short
    assert "--help-all" in short
    with pytest.raises(SystemExit) as ended:
        main([command, "--help-all"])
    assert ended.value.code == 0
    assert "--adam_beta1" in capsys.readouterr().out


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"egpo-trl {__version__}\n"
    main(["--help"])
    assert "usage: egpo-trl" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "kind"), [([], "command"), (["evaluate"], "suite")])
def test_without_a_command_the_help_is_an_error(words, kind, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: egpo-trl")
    assert shown.err.endswith(f"egpo-trl{' evaluate' if words else ''}: name a {kind}.\n")


def test_env(capsys):
    main(["env"])
    shown = capsys.readouterr().out
    for name in ("python", "platform", "egpo-trl", "trl", "transformers", "torch"):
        assert f"\n{name}:" in f"\n{shown}"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell, capsys, tmp_path):
    main(["completion", shell])
    script = capsys.readouterr().out
    for word in ("egpo_lambda", "evaluate", "bfcl", "dataset_name"):
        assert word in script
    if shell == "bash":
        (tmp_path / "script").write_text(script, encoding="utf-8")
        assert subprocess.run(["bash", "-n", str(tmp_path / "script")], check=False).returncode == 0


def test_recipes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["recipes"])
    shown = capsys.readouterr().out
    for name in recipes():
        assert name in shown
    main(["recipes", "train/quickstart", "--output_dir", "mine"])
    assert yaml.safe_load(Path("mine/quickstart.yaml").read_text()) == read_yaml(recipes()["train/quickstart"])
    main(["recipes", "--output_dir", "all"])
    assert len(list(Path("all").glob("*/*.yaml"))) == len(recipes())
    for words, message in (
        (["recipes", "train/quickstart", "--output_dir", "mine"], "exists"),
        (["recipes", "quikstart"], "no file or recipe is called"),
        (["recipes", "quickstart"], "no file or recipe is called"),  # of train or of sft?
    ):
        with pytest.raises(SystemExit, match=message):
            main(words)
    assert (configs_folder() / "accelerate" / "zero3.yaml").is_file()


WRONG_USAGE = [
    ("fly", "unknown command 'fly'"),
    ("trian", "Did you mean 'train'"),
    ("evaluate dmo", "Did you mean 'demo'"),
    ("train --config", "--config needs a file"),
    ("train --config nothing.yaml", "no file or recipe is called 'nothing.yaml'"),
    ("train --config quikstart", "Did you mean 'quickstart'"),
    ("train --config OUT", "OUT is a folder"),
    (f"train {DEMO} --egpo_lamda 1", "unknown option 'egpo_lamda', did you mean 'egpo_lambda'"),
    (f"train {DEMO} stray", "unexpected argument 'stray'"),
    (f"train {DEMO} --learning_rate fast", "invalid float value: 'fast'"),
    (f"train {DEMO} --prompt_style papr", "invalid choice: 'papr'"),
    (f"train {DEMO} --max_prompt_length 512", "drop_long_rows"),
    (f"train {DEMO} --dataset_train_split train", "it is called dataset_split here"),
    (f"train {DEMO} --output x", "output_dir"),
    ("evaluate demo --model demo --output OUT", "output_dir"),
    ("evaluate demo --model demo", "required: --output_dir"),
    ("convert --dataset_name rows.jsonl --output_dir OUT", "it is called output here"),
    ("convert --dataset_name rows.jsonl --source nothing --output x.jsonl", "invalid choice: 'nothing'"),
    ("convert --dataset_name rows.jsonl --source xlam --output rows.csv", "must end in .jsonl or .parquet"),
    ("curves", "required: RUN"),
    ("compare A=OUT,OUT2 B=OUT", "several runs"),
    ("recipes foo", "no file or recipe is called 'foo'"),
    (
        "convert --dataset_name SAMPLES/glaive_v2.jsonl --output OUT/x.jsonl --num_tools 3",
        "'glaive' has no option 'num_tools'",
    ),
    ("convert --dataset_name SAMPLES --output OUT/x.jsonl --dataset_split nosuch", "not 'nosuch'"),
    ("convert SAMPLES/glaive_v2.jsonl SAMPLES/anthropic.jsonl --output OUT/x.jsonl", "unexpected argument"),
    (
        "convert SAMPLES/glaive_v2.jsonl --dataset_name SAMPLES/anthropic.jsonl --output OUT/x.jsonl",
        "rows are named twice",
    ),
    ("completion fish", "invalid choice: 'fish'"),
    ("plan", "name a recipe with --config, or a model"),
    ("plan --params many", "argument --params: 'many' is not a number of parameters such as 1.7B"),
    ("plan --params 1.7B --gpu_memory 0", "argument --gpu_memory: '0' is not a number from 0.1 up"),
    ("plan --params 1.7B --prompt_length -1", "'-1' is not a whole number from 1 up"),
    ("plan --params 1.7B --num_processes 1.5", "'1.5' is not a whole number from 1 up"),
    ("split --dataset_name demo --output_dir OUT --validation_share 2", "'2' is not a number from 0 to 1"),
    ("split --dataset_name demo --output_dir OUT --validation_share nan", "'nan' is not a number from 0 to 1"),
    ("rollouts OUT --count 0", "'0' is not a whole number from 1 up"),
    ("evaluate --model demo", "name one of acebench, api-bank, bfcl, demo, rows before --model"),
    ("--model demo", "before --model"),
    ("evaluate demo --model demo --output_dir OUT --max_new_tokens 3", "it is called max_completion_length here"),
    ("merge OUT --output_dir OUT --base x", "it is called model_name_or_path here"),
    ("clean --output_dir OUT --judge_model x", "it is called model_name_or_path here"),
    ("convert --output x.jsonl", "required: --dataset_name"),
    ("evaluate demo --output_dir OUT", "required: --model_name_or_path"),
    (f"train {DEMO} --lr 1", "it is called learning_rate here"),
]


@pytest.mark.parametrize(("line", "message"), WRONG_USAGE)
def test_wrong_usage_is_one_message_and_exit_code_2(line, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line.replace("OUT", str(tmp_path)).replace("SAMPLES", SAMPLES).split())
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert message in shown.replace(str(tmp_path), "OUT")
    assert "Traceback" not in shown
    assert len(shown.splitlines()) <= 2


# Options that would do nothing, by command: each is an error that names the option.
NO_EFFECT = [
    (f"train {DEMO} --dataset_config x", "dataset_config"),
    (f"train {DEMO} --dataset_split x", "dataset_split"),
    (f"train {DEMO} --validation_share 0.1", "validation_share"),
    (f"train {DEMO} --dataset_name a.jsonl --num_demo_rows 3", "num_demo_rows"),
    (f"train {DEMO} --dataset_name a.jsonl --dataset_split test", "dataset_split"),
    (f"train {DEMO} --lora_r 8", "lora_r"),
    (f"train {DEMO} --use_dora true", "use_dora"),
    (f"train {DEMO} --bnb_4bit_quant_type fp4", "bnb_4bit_quant_type"),
    (f"train {DEMO} --vllm_mode server", "vllm_mode"),
    (f"train {DEMO} --use_vllm true --vllm_server_port 1", "vllm_server_port"),
    (f"train {DEMO} --eval_steps 5", "eval_steps"),
    (f"train {DEMO} --metric_for_best_model reward", "metric_for_best_model"),
    (f"train {DEMO} --bfcl_eval_max_per_category 3", "bfcl_eval_max_per_category"),
    (f"train {DEMO} --prompt_style paper --render_tools true", "render_tools"),
    (f"sft {DEMO} --lora_alpha 8", "lora_alpha"),
    ("evaluate demo --model demo --output_dir OUT --base_url http://x", "base_url"),
    ("evaluate demo --model demo --output_dir OUT --top_p 0.5", "top_p"),
    ("evaluate demo --model m --output_dir OUT --backend openai --dtype float32", "dtype"),
    ("evaluate demo --model m --output_dir OUT --backend openai --chat_template_path x", "chat_template_path"),
    ("evaluate demo --model m --output_dir OUT --backend openai --tokenizer x", "tokenizer"),
    ("evaluate demo --model m --output_dir OUT --tokenizer x", "tokenizer"),
    (
        "evaluate demo --model m --output_dir OUT --backend openai --endpoint_api completions --tokenizer x --tool_choice none",
        "tool_choice",
    ),
    ("evaluate bfcl --model gold --output_dir OUT --dtype float32", "dtype"),
    (f"train {DEMO} --report false --report_steps 3", "report_steps"),
    (f"train {DEMO} --egpo_lambda 0 --egpo_alpha 3", "egpo_alpha"),
    ("curves OUT --group x", "--group 'x'"),
    ("report OUT --group x", "--group 'x'"),
    ("evaluate rows --model demo --output_dir OUT --dataset_name a.jsonl --dataset_split test", "dataset_split"),
    ("clean --output_dir OUT --backend none --max_requests 3", "max_requests"),
    ("clean --output_dir OUT --backend none --model x", "model_name_or_path"),
    ("clean --output_dir OUT --backend none --seed 3", "seed"),
    ("clean --output_dir OUT --vllm_kwargs {}", "vllm_kwargs"),
    ("clean --output_dir OUT --backend none --leak_threshold 0.5", "leak_threshold"),
    ("clean --output_dir OUT --backend transformers --model_name_or_path m --base_url x", "base_url"),
    ("convert --dataset_name README --source xlam --dataset_config x --output x.jsonl", "dataset_config"),
    ("split --dataset_name a.jsonl --dataset_split x --output_dir OUT", "dataset_split"),
    ("sft-data --dataset_name demo --dataset_config x --output x.jsonl", "dataset_config"),
    ("plan --params 1.7B --model x", "model_name_or_path"),
    ("plan --params 1.7B --model_config x", "model_config"),
    ("plan --model_config x --model_name_or_path y", "model_name_or_path"),
]


@pytest.mark.parametrize(("line", "option"), NO_EFFECT)
def test_an_option_without_effect_is_an_error(line, option, tmp_path, capsys):
    (tmp_path / "README").write_text("[]")
    words = line.replace("OUT", str(tmp_path)).replace("README", str(tmp_path / "README")).split()
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert f"{option} does nothing here" in capsys.readouterr().err


def test_every_rule_is_about_options_that_exist():
    import re

    for command, rules in RULES.items():
        for one in [command] if command != "evaluate" else ["evaluate demo"]:
            names = {action.dest for action in command_parser(one)._actions}
            assert all(any(re.fullmatch(rule.options, name) for name in names) for rule in rules), command
            assert all(set(rule.switches) <= names for rule in rules), command


def test_a_recipe_can_be_tried_without_what_it_needs(tmp_path):
    """An option of the file loses its effect by one on the line: that is meant."""
    from egpo_trl.cli.no_effect import Given, without_effect

    options = make_parser("train").parse_args(["train", "--output_dir", str(tmp_path)])
    assert without_effect("train", options, Given(file={"vllm_mode"}, line={"use_vllm"})) == []
    assert without_effect("train", options, Given(file={"vllm_mode", "use_vllm"}))
    assert without_effect("train", options, Given(file={"use_vllm"}, line={"vllm_mode"}))


YAML = [
    ("{a: 1", "line 1"),
    ("seed: 1\nlearning_rate: [\n", "not valid YAML"),
    ("seed: 1\nseed: 2\n", "'seed' comes twice"),
    ("- a\n", "must hold lines of the form"),
    ("seed: x\n", "seed: 'x' is not a whole number"),
    ("max_steps: 2.5\n", "max_steps: 2.5 is not a whole number"),
    ("learning_rate: fast\n", "learning_rate: 'fast' is not a number"),
    ("save_strategy: no\n", "put such a word in quotes"),
    ("prompt_style: papr\n", "'papr' is not one of native, paper"),
    ("egpo_lamda: 1\n", "did you mean 'egpo_lambda'"),
    ("max_prompt_length: 512\n", "drop_long_rows"),
    ("model: demo\n", "it is called model_name_or_path here"),
    ("max_new_tokens: 5\n", "it is called max_completion_length here"),
    ("env: 3\n", "env: must hold lines"),
    ("lora_r: 8\n", "lora_r does nothing"),
    ("seed: 1\x00\n", "special characters"),
    (b"seed: 1 # \xff\n", "is not UTF-8"),
]


@pytest.mark.parametrize(("text", "message"), YAML)
def test_a_broken_config_is_one_message(text, message, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SystemExit) as ended:
        main(["train", "--config", str(path), "--output_dir", str(tmp_path / "run")])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1


OF_A_TRACKER = type("UsageError", (Exception,), {"__module__": "wandb.errors.errors"})


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (OF_A_TRACKER("No API key configured."), True),
        (RuntimeError("Unrecognized mode=x, should be one of: default"), True),
        (type("SafetensorError", (Exception,), {})("incomplete metadata, file not fully covered"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (AssertionError("a fault of ours"), False),
    ],
)
def test_an_error_of_a_library_about_the_input_is_one_message(error, ends):
    with pytest.raises(Failure if ends else type(error), match=str(error)), one_message("train"):
        raise error


def test_a_config_of_a_command_without_a_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("data.yaml").write_text(
        f"dataset_name: {SAMPLES}/glaive_v2.jsonl\noutput: rows.jsonl\nkeep_system: true\nsource: glaive\n"
    )
    main(["convert", "--config", "data.yaml"])
    Path("split.yaml").write_text("dataset_name: rows.jsonl\noutput_dir: parts\nvalidation_share: 0.5\n")
    main(["split", "--config", "split.yaml", "--seed", "3"])
    Path("sft.yaml").write_text("dataset_name: rows.jsonl\noutput: sft.jsonl\nsft_format: messages\nbad_rows: keep\n")
    main(["sft-data", "--config", "sft.yaml"])
    assert "conversations: sft.jsonl" in capsys.readouterr().out
    assert Path("parts", "train.jsonl").is_file()


def test_light_commands_import_no_torch():
    code = (
        "import sys\nfrom egpo_trl.cli import main\nmain(['--version'])\nmain(['--help'])\nmain(['recipes'])\n"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", ["trl", "yaml"])
def test_ctrl_c_during_the_imports_is_one_line(module):
    """The interruption comes while a module is imported that the parser needs."""
    code = (
        "import sys\nclass Interrupt:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\nsys.meta_path.insert(0, Interrupt())\n"
        "from egpo_trl.cli import main\nmain(['train', '--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "\negpo-trl: interrupted.\n")


# Values that TRL and transformers refuse, each with a word of the reason.
INVALID_VALUES = [
    ("--num_generations 7", "num_generations"),
    ("--num_generations 1", "at least 2 generations"),
    ("--eval_strategy sometimes", "sometimes"),
    ("--save_strategy sometimes", "sometimes"),
    ("--lr_scheduler_type wavy", "wavy"),
    ("--optim adamm", "adamm"),
    ("--eval_strategy steps --load_best_model_at_end true --save_strategy epoch", "strateg"),
    ("--loss_type nothing", "nothing"),
    ("--scale_rewards nothing", "nothing"),
    ("--bf16 true --fp16 true", "16"),
    ("--generation_batch_size 100", "generation_batch_size"),
    ("--generation_batch_size 128 --steps_per_generation 2", "steps_per_generation"),
    ("--egpo_alpha 1", "egpo_alpha"),
    ("--egpo_lambda -1", "egpo_lambda"),
    ("--think_tags a", "think_tags"),
    ("--max_tool_result_characters 0", "max_tool_result_characters"),
    ("--dynamic_sampling_rounds -1", "dynamic_sampling_rounds"),
    ("--importance_sampling_level words", "words"),
    ("--fsdp_config {", "fsdp_config"),
    ("--model_init_kwargs {", "model_init_kwargs"),
    ("--load_in_4bit true --load_in_8bit true", "8 bit and 4 bit"),
]


@pytest.mark.parametrize(("words", "message"), INVALID_VALUES)
def test_an_invalid_value_is_one_message(words, message, tmp_path, capsys):
    config = ["--config", "quickstart", "--output_dir", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "train",
                *config,
                "--num_demo_rows",
                "32",
                "--max_validation_rows",
                "2",
                "--report",
                "false",
                *words.split(),
            ]
        )
    assert ended.value.code in (1, 2)
    shown = capsys.readouterr().err
    assert message in shown
    assert "distributed_state" not in shown
    assert "Traceback" not in shown


def test_recipes_of_an_installed_package(tmp_path, monkeypatch):
    """The wheel holds `configs/` inside the package, see pyproject.toml; a checkout uses its own folder."""
    import shutil
    import tomllib

    from egpo_trl.cli import recipes as module

    root = Path(__file__).parents[2]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"configs": "egpo_trl/configs"}
    expected = set(recipes())
    shutil.copytree(configs_folder(), tmp_path / "egpo_trl" / "configs")
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "egpo_trl")
    monkeypatch.chdir(tmp_path)
    assert configs_folder() == tmp_path / "egpo_trl" / "configs"
    assert set(recipes()) == expected
    assert module.recipe_path("quickstart", "train") == configs_folder() / "train" / "quickstart.yaml"
    assert module.recipe_path("quickstart", "sft") == configs_folder() / "sft" / "quickstart.yaml"
    assert module.recipe_path("zero3", "accelerate") == configs_folder() / "accelerate" / "zero3.yaml"
    assert (
        module.recipe_path("configs/train/quickstart.yaml", "train") == configs_folder() / "train" / "quickstart.yaml"
    )
