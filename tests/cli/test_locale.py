"""Files are UTF-8 whatever the locale, and a terminal that cannot show a character ends no command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from egpo_trl.demo.world import make_rows

SRC = Path(__file__).parents[2] / "src"
ASCII = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(SRC)}
SMALL = "--max_steps 1 --per_device_train_batch_size 8 --logging_steps 1"


@pytest.fixture
def folder(tmp_path):
    rows = make_rows(16)
    for row in rows:
        row["prompt"][-1]["content"] += " – grüße, 你好"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "run.yaml").write_text(
        "# …\nmodel_name_or_path: demo\ndataset_name: rows.jsonl\nuse_cpu: true\nbf16: false\nreport_to: none\n"
        "gradient_checkpointing: false\nsave_strategy: 'no'\n",
        encoding="utf-8",
    )
    return tmp_path


COMMANDS = [
    "split --dataset_name rows.jsonl --output_dir parts",
    "sft-data --dataset_name rows.jsonl --output sft.jsonl",
    "clean --dataset_name rows.jsonl --backend none --output_dir clean",
    "evaluate rows --model demo --dataset_name rows.jsonl --max_completion_length 4 --output_dir evaluation",
    f"sft --config run.yaml {SMALL} --output_dir sft",
    f"train --config run.yaml {SMALL} --max_completion_length 8 --max_validation_rows 2 --output_dir run",
    "curves run",
    "report run",
    "recipes",
]


def test_every_command_in_an_ascii_terminal(folder):
    for line in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "egpo_trl.cli", *line.split()],
            cwd=folder,
            env=ASCII,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr.decode("utf-8", "replace")[-1500:])
    written = [
        json.loads(line) for line in (folder / "run" / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert written
    assert all(row["prompt"][-1]["content"].endswith(" – grüße, 你好") for row in written)
