"""Finds recipes and accelerate configs of the package by name."""

import difflib
import itertools
from pathlib import Path

_FOLDERS = {"train": "train", "plan": "train", "sft": "sft", "clean": "clean"}  # command -> folder of its recipes
_PACKAGE = Path(__file__).parents[1]


def configs_folder() -> Path:
    """Folder of all configs: in the installed package, or `configs/` of a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / "configs"


def recipes() -> dict[str, Path]:
    """Every config by its name, such as `train/quickstart`."""
    root = configs_folder()
    return {f"{file.parent.name}/{file.stem}": file for file in sorted(root.glob("*/*.yaml"))}


def choose(name: str, folder: str | None) -> Path:
    """A config by `folder/name`, or by name alone where that is clear."""
    known = recipes()
    short = name.removeprefix("configs/").removesuffix(".yaml")
    for found in (short, f"{folder}/{short}"):
        if found in known:
            return known[found]
    matches = [path for full, path in known.items() if full.endswith(f"/{short}") and folder is None]
    if len(matches) == 1:
        return matches[0]
    names = [full.split("/")[1] for full in known if full.startswith(f"{folder}/")] if folder else list(known)
    close = difflib.get_close_matches(short, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else " `egpo-trl recipes` lists them."
    raise ValueError(f"no file or recipe is called {name!r}.{hint}")


def recipe_path(name: str, command: str) -> Path:
    """File of a config that a command was given: a path, or the name of a recipe."""
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise ValueError(f"--config {name} is a folder; name a YAML file.")
    return choose(name, "accelerate" if command == "accelerate" else _FOLDERS.get(command))


def first_line(path: Path) -> str:
    """First sentence of the comment that a config starts with, after notes on what was not run."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = " ".join(line.lstrip("# ") for line in comment if not line.startswith("# Not "))
    return text.split(". ", 1)[0].rstrip(".") + "." if text else ""
