"""Checks the installed package `bfcl-eval`: requirements, version and data files."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from .categories import MULTI_TURN

VERSION = "2026.3.23"
_NEEDED = (
    "bfcl_eval", "filelock", "tenacity", "overrides", "tree_sitter", "tree_sitter_java", "tree_sitter_javascript",
    "mpmath", "numpy", "tqdm",
)  # fmt: skip
_INSTALL = (
    f"Install the official package without its requirements (6 GB, none of which its checkers need) and the few small "
    f"ones that they do need:\n  pip install --no-deps bfcl-eval=={VERSION}\n  pip install 'egpo-trl[bfcl]'"
)


def package_folder() -> Path:
    """Folder of the installed package, which is not imported."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(f"BFCL needs {', '.join(missing)}, not installed here. {_INSTALL}")
    try:
        installed = version("bfcl-eval")
    except PackageNotFoundError:
        installed = "unknown"
    if installed != VERSION:
        raise ValueError(f"BFCL is scored with bfcl-eval {VERSION}, and {installed} is installed here. {_INSTALL}")
    spec = find_spec("bfcl_eval")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


@lru_cache(maxsize=1)
def known_checksums() -> dict[str, str]:
    """SHA-256 of each data file of the version that is pinned here, by its path below the package's `data`."""
    lines = (Path(__file__).parent / "checksums.txt").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def check_data(categories: Iterable[str]) -> Path:
    folder = package_folder() / "data"
    known = known_checksums()
    names = []
    for category in categories:
        file = f"BFCL_v4_{category}.json"
        names += [name for name in (file, f"possible_answer/{file}") if name in known]
        if category in MULTI_TURN:
            names += [name for name in known if name.startswith("multi_turn_func_doc/")]
    for name in dict.fromkeys(names):
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "nothing"
        if found != known[name]:
            raise ValueError(
                f"the data file {name} of bfcl-eval {VERSION} was changed: its SHA-256 is {found[:16]}…, not "
                f"{known[name][:16]}…, so that scores would not compare. Reinstall it: pip install --no-deps "
                f"--force-reinstall bfcl-eval=={VERSION}"
            )
    return folder
