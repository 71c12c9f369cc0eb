"""Finds the syntaxes of tool calls: each module of this folder that defines `SYNTAX` is one."""

import importlib
import pkgutil
from collections.abc import Mapping

from ..syntax import Syntax


def find_syntaxes() -> dict[str, Syntax]:
    """Syntaxes by name."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    return {module.SYNTAX.name: module.SYNTAX for module in modules}


SYNTAX_BY_NAME: Mapping[str, Syntax] = find_syntaxes()
