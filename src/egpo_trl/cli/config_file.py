"""Reads a YAML config and makes its values the defaults of a command's options."""

import argparse
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .failure import WRONG_USAGE, Failure

# Other words for a thing -> the word here.
_OTHER_NAMES = {
    "dataset": "dataset_name", "rows": "dataset_name", "dataset_train_split": "dataset_split", "split": "dataset_split",
    "output": "output_dir", "output_dir": "output", "overwrite_output_dir": "overwrite_run",
    "model": "model_name_or_path", "base": "model_name_or_path", "tokenizer": "model_name_or_path",
    "judge_model": "model_name_or_path", "judge_backend": "backend", "revision": "model_revision",
    "chat_template": "chat_template_path", "max_new_tokens": "max_completion_length", "max_tokens": "max_completion_length",
    "evaluation_strategy": "eval_strategy", "no_cuda": "use_cpu", "lr": "learning_rate",
    "batch_size": "per_device_train_batch_size", "epochs": "num_train_epochs",
    "max_prompt_length": "drop_long_rows",
}  # fmt: skip
_EXPLAINED = {
    "max_prompt_length": "TRL removed it: prompts are not cut. drop_long_rows: true leaves out rows too long."
}


def unknown(names: Iterable[str], known: Iterable[str], where: str) -> str:
    """One line for each unknown name, with the name that was probably meant."""
    known = list(known)
    lines = []
    for name in names:
        close = difflib.get_close_matches(name, known, n=1)
        word = _OTHER_NAMES.get(name)
        hint = f", did you mean {close[0]!r}?" if close else "."
        if word in known:
            hint = f": {_EXPLAINED.get(name, f'it is called {word} here.')}"
        lines.append(f"unknown {where} {name!r}{hint}")
    return "\n".join(lines)


class _Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None and "<<" not in keys:
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; `ValueError` names the file and the line of what is wrong."""
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)  # a SafeLoader
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f", line {mark.line + 1}"
        raise ValueError(f"{path}{place}: not valid YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{path} must hold lines of the form `field: value`.")
    return values


def is_switch(action: argparse.Action) -> bool:
    """Whether an option is true or false."""
    return getattr(action.type, "__name__", "") == "string_to_bool" or action.nargs == 0


def _checked(action: argparse.Action, value: Any, place: str) -> Any:
    """A value of a file in the type of its option; an option of several values takes one alone as well."""
    if value is None or isinstance(value, dict) or (isinstance(value, list) and action.nargs != "+"):
        return value
    if action.nargs == "+":
        return [_checked_one(action, item, place) for item in (value if isinstance(value, list) else [value])]
    return _checked_one(action, value, place)


def _checked_one(action: argparse.Action, value: Any, place: str) -> Any:
    if isinstance(value, bool):
        if is_switch(action):
            return value
        word = "no or off" if value is False else "yes or on"
        raise ValueError(f"{place}: true and false are not values of it. YAML reads {word} as {str(value).lower()}: "
                         'put such a word in quotes, as in "no".')  # fmt: skip
    try:
        read = action.type(str(value)) if callable(action.type) else value
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        kind = {"int": "a whole number", "float": "a number"}.get(getattr(action.type, "__name__", ""))
        raise ValueError(f"{place}: {value!r} is not {kind}." if kind else f"{place}: {value!r}: {error}") from None
    if action.choices is not None and read not in action.choices:
        raise ValueError(f"{place}: {value!r} is not one of {', '.join(map(str, action.choices))}.")
    return read


def defaults_from(values: Mapping[str, Any], actions: Iterable[argparse.Action], path: str, command: str) -> None:
    """Make the values of a config file the defaults of the options; wrong usage ends with one message."""
    by_name = {action.dest: action for action in actions if action.option_strings}
    strange = [name for name in values if name not in by_name]
    if strange:
        raise Failure(f"{command}: {unknown(strange, by_name, 'field in the config file')}", WRONG_USAGE)
    for name, value in values.items():
        try:
            by_name[name].default = _checked(by_name[name], value, f"{path}, {name}")
        except ValueError as error:
            raise Failure(f"{command}: {error}", WRONG_USAGE) from None
        by_name[name].required = False
