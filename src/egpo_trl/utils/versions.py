"""Reads the versions of installed packages."""

import platform
from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version(), "platform": platform.system()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # not installed, or used from its sources
            continue
    return found
