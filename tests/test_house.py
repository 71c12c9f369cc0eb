"""The house: which room may import which, read off the imports of every file."""

import ast
import subprocess
import sys
from pathlib import Path

import egpo_trl

PACKAGE = Path(egpo_trl.__file__).parent
ROOT = "."  # the files beside __init__.py: the algorithm
GROUND = {"utils", "tool_calls"}  # every room above them may import them

# room -> the rooms that it may import beside the ground; never one further down
ROOMS: dict[str, set[str]] = {
    "utils": set(),
    "tool_calls": set(),
    "reports": set(),
    "rollouts": set(),
    "environments": {"rollouts"},
    "rewards": {"environments", "rollouts"},
    "demo": {"environments"},
    "data": {"demo"},
    # reads schemas with data, and makes the `ExecutedTool` of rollouts from an MCP server or OpenAPI document
    "tools": {"data", "rollouts"},
    # of demo, the names of the demo models
    "grpo": {"data", "demo", "rollouts"},
    "sampling": {"data", "demo"},
    "cleaning": {"sampling", "data", "demo"},
    "evaluation": {"sampling", "rewards", "environments", "rollouts", "data", "demo", "reports"},
    # of reports, the model card that the trainer writes
    ROOT: {"reports", "grpo", "rewards", "environments", "rollouts", "data"},
    "runs": {"reports", "rollouts", "environments", "rewards", "demo", "data", "tools", "grpo", "sampling", "cleaning",
             "evaluation", ROOT},
    # commands read options from sampling and the root, names of models from demo, and schemas from tools
    "cli": {"reports", "data", "demo", "tools", "sampling", "cleaning", "evaluation", "runs", ROOT},
}  # fmt: skip


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, as dotted names from the package on."""
    here = list(path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("egpo_trl")}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1]
            base += node.module.split(".") if node.module else []
            names = [base] if node.module else [[*base, alias.name] for alias in node.names]
            found |= {".".join(["egpo_trl", *name]) for name in names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("egpo_trl"):
            found.add(node.module or "")
    return found


def room_of(module: str) -> str:
    parts = module.split(".")[1:]
    return parts[0] if parts and parts[0] in ROOMS else ROOT


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_folder_is_a_room():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == ROOMS.keys() - {ROOT}


def test_the_table_runs_one_way():
    order = list(ROOMS)
    for room, allowed in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in allowed)


def test_imports_follow_the_table():
    wrong = []
    for path in files():
        if path == PACKAGE / "__init__.py":  # the face: names the public API, wherever it is, and imports nothing
            continue
        room = room_of(".".join(["egpo_trl", *path.relative_to(PACKAGE).with_suffix("").parts]))
        allowed = ROOMS[room] | {room} | (GROUND if room not in GROUND else set())
        wrong += [
            f"{path.relative_to(PACKAGE)} ({room}) imports {name}"
            for name in imports_of(path)
            if room_of(name) not in allowed
        ]
    assert wrong == []


def test_no_file_imports_itself_in_a_circle():
    """Over all imports, those inside functions and for type checkers included."""
    names = {path: ".".join(["egpo_trl", *path.relative_to(PACKAGE).with_suffix("").parts]) for path in files()}
    modules = {name.removesuffix(".__init__"): path for path, name in names.items()}
    faces = {
        name for name, path in modules.items() if path.name == "__init__.py"
    }  # lazy: they import what they export
    arrows = {
        name: {other for other in imports_of(path) if other in modules and other not in faces}
        for name, path in modules.items()
        if name not in faces
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"circle: {' -> '.join((*above[above.index(name) :], name))}"
        if name not in done:
            for other in arrows[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


def test_the_root_is_the_algorithm():
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        "__init__.py", "advantages.py", "egpo_config.py", "egpo_metrics.py", "egpo_trainer.py"
    }  # fmt: skip
    source = (PACKAGE / "egpo_trainer.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 200
    assert "def _compute_loss" in source
    assert "def _get_per_token_logps_and_entropies" in source


def test_the_import_is_light():
    """`import egpo_trl` and the rooms on the ground bring neither torch nor TRL."""
    code = (
        "import sys, egpo_trl, egpo_trl.tool_calls.completions, egpo_trl.data.rows, egpo_trl.rewards.tool_call;"
        "print([name for name in ('torch', 'trl', 'transformers', 'datasets') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
