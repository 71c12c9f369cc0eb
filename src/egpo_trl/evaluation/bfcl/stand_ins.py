"""Imports the official package without its 6 GB of requirements, in a separate process."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

HANDLERS = {"fc": ("qwen_fc", "QwenFCHandler"), "prompting": ("qwen", "QwenHandler")}
_CLIENTS = ("openai", "requests", "dotenv", "pandas")  # imported by what scores, used only by what does not


class _Unused:
    """A placeholder for what scoring imports and never uses."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"scoring does not need {name!r} of a client library")


def _unused_module(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__getattr__ = lambda attribute: _Unused  # type: ignore[method-assign]
    return module


class _AnyModel(dict[str, Any]):
    """The table of models, in which every name is a model of the Qwen kind."""

    handler: Any = None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(
            model_name=name,
            display_name=name,
            url="",
            org="",
            license="",
            model_handler=self.handler,
            input_price=None,
            output_price=None,
            is_fc_model=True,
            underscore_to_dot=False,
        )


def prepare(project_root: Path, handler: str) -> type:
    """Make the official package importable, and import its handler of Qwen-style models."""
    os.environ["BFCL_PROJECT_ROOT"] = str(project_root)
    for name in _CLIENTS:
        sys.modules[name] = _unused_module(name)
    models = ModuleType("bfcl_eval.constants.model_config")
    table = _AnyModel()
    models.MODEL_CONFIG_MAPPING = table  # type: ignore[attr-defined]
    sys.modules[models.__name__] = models
    module, name = HANDLERS[handler]
    found = __import__(f"bfcl_eval.model_handler.local_inference.{module}", fromlist=[name])
    table.handler = getattr(found, name)
    return table.handler  # type: ignore[no-any-return]
