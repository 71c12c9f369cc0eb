"""The suites of `egpo-trl evaluate`: each module of this folder defines `SUITE` and is found by itself.

The name of the module is that of the suite, and its docstring the line in the list of suites.
"""

import ast
import pkgutil
from pathlib import Path


def find_suites() -> dict[str, str]:
    """Name of each suite and a line about it. Nothing is imported, so that `--help` stays fast."""
    found = {}
    for folder in __path__:
        for module in pkgutil.iter_modules([folder]):
            source = (Path(folder) / f"{module.name}.py").read_text(encoding="utf-8")
            found[module.name.replace("_", "-")] = (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
    return dict(sorted(found.items()))
