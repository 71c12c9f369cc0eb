"""The notebooks are their sources, their saved outputs are clean, and each of them runs."""

import json
import re
import runpy
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml
from build_notebooks import SOURCES, build, code, execute, install_cell, readme_table
from datasets import Dataset
from repository import address
from trl import ModelConfig, TrlParser

from egpo_trl import EGPOConfig
from egpo_trl.cli import train
from egpo_trl.demo.world import make_rows
from egpo_trl.runs.launch_checks import Launch, check_launch
from egpo_trl.runs.script_arguments import EGPOScriptArguments

ROOT = Path(__file__).parents[2]

EXECUTED = [source for source in SOURCES if build(source).metadata.egpo.executed]
(T4,) = [source for source in SOURCES if source not in EXECUTED]


def saved(source: Path) -> nbformat.NotebookNode:
    return nbformat.read(source.parents[1] / f"{source.stem}.ipynb", as_version=4)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_is_its_source(source):
    built, notebook = build(source), saved(source)
    same = [(cell.id, cell.cell_type, cell.source) for cell in built.cells]
    assert [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells] == same, (
        "run notebooks/build_notebooks.py"
    )
    assert notebook.metadata == built.metadata
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.cells[1].source == install_cell(notebook.metadata.egpo.get("extras", ""), address())


def test_badges_appear_once_the_repository_has_an_address():
    readme = (ROOT / "README.md").read_text()
    assert readme_table(readme, address()) == readme, "run notebooks/build_notebooks.py"
    public = "https://github.com/someone/egpo-trl"
    for source in SOURCES:
        target = f"https://colab.research.google.com/github/someone/egpo-trl/blob/main/notebooks/{source.stem}.ipynb"
        for text in (build(source, public).cells[0].source, readme_table(readme, public)):
            assert f"({target})" in text
        for text in (build(source, "").cells[0].source, readme_table(readme, "")):
            assert "colab.research" not in text


@pytest.mark.parametrize("repository", ["", "https://github.com/someone/egpo-trl"])
@pytest.mark.parametrize("found", ["clone", "wheel", "nothing"])
def test_the_install_cell_tries_clone_wheel_and_index(tmp_path, monkeypatch, capsys, found, repository):
    """In this order; what pip would do is recorded, and only the last try succeeds."""
    inside = tmp_path / "notebooks"
    inside.mkdir()
    if found == "clone":
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "egpo-trl"\n')
    if found == "wheel":
        for number in ("0.1.0", "0.2.0"):
            (inside / f"egpo_trl-{number}-py3-none-any.whl").touch()
    tried = []

    def run(command, **_):
        tried.append(command[-1])
        return subprocess.CompletedProcess(
            command, int(not command[-1].startswith("egpo-trl[x]") or "@" in command[-1])
        )

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    monkeypatch.chdir(inside)
    cell = install_cell("[x]", repository)
    exec(compile(cell, "cell", "exec"), {})
    expected = {
        "clone": [f"{tmp_path}[x]"],
        "wheel": [f"{inside}/egpo_trl-{number}-py3-none-any.whl[x]" for number in ("0.2.0", "0.1.0")],
        "nothing": [],
    }[found]
    expected += [f"egpo-trl[x] @ git+{repository}"] if repository else []
    assert tried == [*expected, "egpo-trl[x]"]
    shown = capsys.readouterr().out
    assert "egpo-trl 9.9, from the package index" in shown
    assert "Restart session" in shown  # torch is loaded in another version
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    with pytest.raises(RuntimeError, match="upload egpo_trl"):
        exec(compile(cell, "cell", "exec"), {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    exec(compile(cell, "cell", "exec"), {})  # nothing happens where it is installed


def test_there_is_no_notebook_without_a_source():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == {source.stem for source in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_saved_outputs(source):
    notebook = saved(source)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if source not in EXECUTED:
        assert not any(cell.outputs or cell.execution_count for cell in cells)
        assert "have not run this notebook" in notebook.cells[0].source
        return
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))  # top to bottom, once
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs)
    texts = "\n".join(output.text if "text" in output else str(output.data.get("text/plain")) for output in outputs)
    assert not re.search(r"/(?:home|root|tmp|usr|work)/|Warning", texts)


@pytest.mark.parametrize("source", EXECUTED, ids=lambda source: source.stem)
def test_a_notebook_runs(source, tmp_path, monkeypatch):
    monkeypatch.setenv("EGPO_FAST", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = execute(build(source), tmp_path, timeout=300)
    stderr = [out.text for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stderr"]
    assert not any("Warning" in text for text in stderr), stderr


def run_cells(cells, tmp_path, monkeypatch):
    """Run code cells as a script in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.py").write_text("\n".join(cells))
    return runpy.run_path("cells.py")


def recipe_of_t4(tmp_path, monkeypatch):
    (cell,) = [cell for cell in code(build(T4)) if "RECIPE = " in cell]
    run_cells([cell], tmp_path, monkeypatch)
    return yaml.safe_load((tmp_path / "qlora_t4.yaml").read_text())


def test_the_t4_notebook_has_the_recipe(tmp_path, monkeypatch):
    recipe = recipe_of_t4(tmp_path, monkeypatch)
    shipped = yaml.safe_load((ROOT / "configs" / "train" / "qlora_t4.yaml").read_text())
    of_the_notebook = {"dataset_name", "report", "max_validation_rows", "max_steps", "num_train_epochs", "save_steps"}
    differ = {name for name in recipe.keys() | shipped.keys() if recipe.get(name) != shipped.get(name)}
    assert differ == of_the_notebook
    parser = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig))
    _, args, model_args = parser.parse_args_and_config(["--config", "qlora_t4.yaml", "--use_cpu", "true"])
    warnings = check_launch(args, model_args, Launch("single", 1, (7, 5)))
    assert all("reference of the KL term" in warning for warning in warnings)


def test_the_t4_notebook_trains_a_tiny_model_in_4_bits(tmp_path, monkeypatch):
    recipe = recipe_of_t4(tmp_path, monkeypatch)
    tiny = {
        "model_name_or_path": "demo", "dataset_name": "demo", "num_demo_rows": 16, "max_validation_rows": 4, "max_steps": 1,
        "max_completion_length": 8, "gradient_accumulation_steps": 1, "use_cpu": True, "fp16": False, "dtype": "float32",
    }  # fmt: skip
    del recipe["validation_share"]  # the embedded world has a held-out split of its own
    (tmp_path / "qlora_t4.yaml").write_text(yaml.safe_dump(recipe | tiny))
    (command,) = [cell for cell in code(build(T4)) if cell.startswith("!egpo-trl train")]
    train(command.split()[2:])
    run = tmp_path / recipe["output_dir"]
    assert json.loads((run / "trainer_state.json").read_text())["global_step"] == 1
    assert (run / "adapter_model.safetensors").exists()
    assert (run / "learning_curves.png").exists()  # what later cells show
    monkeypatch.setattr("IPython.display.HTML", lambda page: page)
    shown = [cell for cell in code(build(T4)) if "show_" in cell]
    rows = [cell for cell in code(build(T4)) if "def ask(" in cell]
    Dataset.from_list(make_rows(1)).to_parquet("rows.parquet")
    run_cells(["from datasets import Dataset", *shown, *rows], tmp_path, monkeypatch)


def test_the_t4_notebook_converts_rows(tmp_path, monkeypatch):
    record = {
        "id": "1",
        "tools": json.dumps([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}]),
        "conversations": [
            {"from": "system", "value": "Call functions. <tools>[]</tools>"},
            {"from": "human", "value": "f of 1?"},
            {"from": "gpt", "value": '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'},
        ],
    }  # fmt: skip
    (tmp_path / "hermes.json").write_text(json.dumps([record]))
    (cell,) = [cell for cell in code(build(T4)) if "convert(" in cell]
    cell = cell.replace("NousResearch/hermes-function-calling-v1", "hermes.json")
    cell = cell.replace('config="func_calling_singleturn", ', "")
    assert len(run_cells([cell], tmp_path, monkeypatch)["rows"]) == 1
    assert (tmp_path / "rows.parquet").exists()
