"""The parts of the metadata that depend on where the repository lies; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

from repository import ROOT, absolute_links, address, project_urls

setup(
    project_urls=project_urls(address()),
    long_description=absolute_links((ROOT / "README.md").read_text(encoding="utf-8"), address()),
    long_description_content_type="text/markdown",
    data_files=[
        ("share/doc/egpo-trl", ["CHANGELOG.md", "README.md"]),
        ("share/doc/egpo-trl/docs", [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))]),
    ],
)
