"""Lists the commands with their options and functions, which are imported when they are needed."""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..evaluation.suites import find_suites
from .parsing import Call

SUITES = find_suites()  # name -> a line about it


@dataclass(frozen=True)
class Command:
    """A command."""

    about: str
    place: str  # module and function; `FUNCTION_arguments` of the module adds its options, if there is one
    kinds: Callable[[], Sequence[type]] = tuple
    description: str | None = None
    subcommands: dict[str, "Command"] = field(default_factory=dict)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of the command that are not fields of a data class."""
        add = _load(f"{self.place}_arguments", None)
        if add is not None:
            add(parser)

    def run(self, call: Call) -> None:
        """Run the command on a command line."""
        _load(self.place)(call)


def _load(place: str, *default: Any) -> Any:
    module, _, name = place.partition(":")
    # A place that begins with a dot is in the package above.
    return getattr(import_module(f".{module}", __package__), name, *default)


def _kinds(*places: str) -> Callable[[], Sequence[type]]:
    def load() -> list[type]:
        from ..utils.quiet import quiet_libraries

        quiet_libraries()
        return [
            getattr(import_module("trl"), place[4:]) if place.startswith("trl:") else _load(place) for place in places
        ]

    return load


def _place(suite: str) -> str:
    return f".evaluation.suites.{suite.replace('-', '_')}:SUITE"


def suite_class(name: str) -> Any:
    """Class of a suite by its name, a data class of its options."""
    return _load(_place(name))


_RUN = _kinds(".runs.script_arguments:EGPOScriptArguments", ".egpo_config:EGPOConfig", "trl:ModelConfig")
_ROWS = _kinds(".data.options:RowsOptions")
COMMANDS: dict[str, Command] = {
    "train": Command(
        "Train a model with EGPO", "training:train", _RUN,
        description="Train a model with EGPO, from a YAML file and options. Example: egpo-trl train --config quickstart",
    ),
    "sft": Command(
        "Fine-tune a model on the right answers, with TRL's SFTTrainer", "training:sft",
        _kinds(".runs.sft:SFTScriptArguments", "trl:SFTConfig", "trl:ModelConfig"),
    ),
    "plan": Command(
        "Say whether a run fits its GPUs", "training:plan", _RUN,
        description="Calculate the memory that a run needs on each GPU, from the model's config alone.",
    ),
    "merge": Command("Merge a trained adapter into its base model", "training:merge"),
    "convert": Command("Convert a public function-calling data set to rows", "data:convert", _ROWS),
    "tools": Command("Write the functions of an MCP server or OpenAPI document as schemas", "data:tools"),
    "clean": Command(
        "Clean rows with an LLM judge and an AST evaluation", "data:clean", _kinds(".cleaning:CleaningConfig")
    ),
    "split": Command("Split rows into a training file and a held-out file, by prompt", "data:split", _ROWS),
    "sft-data": Command(
        "Write rows as conversations for SFT", "data:sft_data",
        _kinds(".data.options:RowsOptions", ".data.options:ConversationOptions"),
    ),
    "evaluate": Command(
        "Sample a model on a suite and score it",
        "evaluation:evaluate",
        description="Evaluate a model: egpo-trl evaluate SUITE --model MODEL --output_dir FOLDER [--config FILE] "
        "[--field value …]",
        subcommands={
            name: Command(about, "evaluation:evaluate", _kinds(".sampling.config:EvaluationConfig", _place(name)))
            for name, about in SUITES.items()
        },
    ),
    "compare": Command(
        "Compare evaluations, with intervals and a picture", "evaluation:compare",
        description="Evaluations of one suite side by side: scores, paired differences to the first run on the prompts "
        "that all of them answered, a picture, and a page to browse.",
    ),
    "curves": Command(
        "Draw the learning curves of one or several runs", "reports:curves",
        description="Draw the learning curves of one or several runs, finished or not. Mean and spread of seeds: "
        "egpo-trl curves EGPO=RUN,RUN,RUN GRPO=RUN,RUN,RUN",
    ),
    "report": Command("Write the report of a run as one HTML file", "reports:report"),
    "rollouts": Command("Show what the model wrote in a run, in the terminal", "reports:rollouts"),
    "recipes": Command("List and copy recipes and accelerate configs", "about:run_recipes"),
    "env": Command("Show versions and devices, for a bug report", "about:env"),
    "completion": Command("Print a completion script for your shell", "about:completion"),
}  # fmt: skip


def find(command: str) -> Command:
    """A command by its name, such as `"train"` or `"evaluate demo"`."""
    first, *rest = command.split()
    found = COMMANDS[first]
    for word in rest:
        found = found.subcommands[word]
    return found
