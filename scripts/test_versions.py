"""The trainer's fast tests on the lowest and the newest versions that pyproject.toml allows: `make test-versions`.

Each set of versions gets an environment of its own in `.venv-versions/`, which sees what `.venv` holds besides.
"""

import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIED = ("trl", "transformers", "peft", "accelerate", "datasets")
TESTS = ["tests/test_egpo_trainer.py", "tests/test_egpo_config.py", "tests/grpo", "tests/rollouts", "tests/rewards",
         "tests/environments", "tests/integration/test_multi_turn.py", "tests/integration/test_trajectory_training.py",
         "tests/runs/test_planner.py", "tests/runs/test_launch_checks.py"]  # fmt: skip


def requirements() -> dict[str, str]:
    """Requirements of the package by the names that are varied."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[=<>!~]", line)[0]: line for line in project["dependencies"]}
    return {name: named[name] for name in VARIED}


def lowest(required: Mapping[str, str]) -> list[str]:
    """The lowest version that each requirement allows."""
    bounds = {name: re.search(r"(?:>=|==)([\d.]+)", line) for name, line in required.items()}
    return [f"{name}=={bound[1].rstrip('.')}" for name, bound in bounds.items() if bound is not None]


def make_environment(name: str, packages: Iterable[str]) -> Path:
    """Python of an environment that has these packages on top of `.venv`."""
    folder = ROOT / ".venv-versions" / name
    venv.create(folder, with_pip=True, clear=True)
    python = folder / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ours, base = (
        subprocess.run([interpreter, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
        for interpreter in (python, ROOT / ".venv" / "bin" / "python")
    )
    (Path(ours) / "base.pth").write_text(f"{base}\n{ROOT / 'src'}\n")
    subprocess.run([python, "-m", "pip", "install", "-q", "--upgrade", *packages], check=True)
    return python


def main() -> None:
    required = requirements()
    failed = []
    for name, packages in {"lowest": lowest(required), "newest": list(required.values())}.items():
        python = make_environment(name, packages)
        show = "import importlib.metadata as m, sys; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
        print(f"\n{name}: ", end="", flush=True)
        subprocess.run([python, "-c", show, *VARIED], check=True)
        cache = f"cache_dir=.pytest_cache/{name}"  # tokenizers that another version has built
        command = [python, "-m", "pytest", "-q", "-m", "not slow", "-o", cache, *TESTS]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        failed += [name] * bool(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
