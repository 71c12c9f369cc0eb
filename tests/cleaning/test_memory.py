"""100,000 rows within 1 GB: nothing but a few bytes a row is held."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from egpo_trl.demo.world import make_rows

ROWS = 100_000
SCRIPT = """
import json, re, sys
from pathlib import Path
from egpo_trl.cleaning import CleaningConfig, Reply, clean

class Agreeable:
    identity = {}
    asked = 0
    async def ask(self, messages, seed):
        self.asked += 1
        return Reply('{"correct": true, "reason": "fine", "corrected": null}', 1)
    async def close(self):
        pass

judge = Agreeable()
config = CleaningConfig(output_dir=sys.argv[2], dataset_name=sys.argv[1], fsync="interval", benchmark_questions="bfcl")
report = clean(config, judge=judge, evaluate_row=lambda row: None)
# Not ru_maxrss: a process inherits the peak of the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"peak": peak, "asked": judge.asked, "rows": report.counts["ast"]["rows"]}))
"""


@pytest.mark.slow
def test_a_hundred_thousand_rows(tmp_path):
    rows = make_rows(500)
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for index in range(ROWS):
            prompt = [{"role": "user", "content": f"{index}: {rows[index % 500]['prompt'][0]['content']}"}]
            file.write(json.dumps({**rows[index % 500], "prompt": prompt, "id": str(index)}) + "\n")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(tmp_path / "out")],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    print(result)
    assert result["rows"] == result["asked"] == ROWS
    assert result["peak"] < 1e9
