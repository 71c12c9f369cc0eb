"""The parts of the package's metadata that depend on where the repository lies; everything else is in pyproject.toml."""

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from repository import absolute_links, address, project_urls


class RepositoryHook(MetadataHookInterface):
    """Adds the README with links that work elsewhere, and the addresses of the project."""

    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        repository = address(root / "pyproject.toml")
        text = absolute_links((root / "README.md").read_text(encoding="utf-8"), repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = project_urls(repository)
