"""What depends on where the repository lies: the one line `repository` in pyproject.toml, empty while it has no address.

setup.py, the site and the notebooks take their links from here; without an address they have none.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
# Links and pictures of Markdown whose target is a file of the repository or an anchor of the page, outside code.
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def address(pyproject: Path = ROOT / "pyproject.toml") -> str:
    """Address of the repository, or an empty text."""
    return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["egpo-trl"]["repository"]).rstrip("/")


def project_urls(repository: str) -> dict[str, str]:
    """Addresses that a package index shows."""
    if not repository:
        return {}
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/{BRANCH}/docs",
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/{BRANCH}/CHANGELOG.md",
    }


def absolute_links(markdown: str, repository: str, folder: str = "", only: str = "") -> str:
    """
    Markdown of a page in a folder of the repository, for readers elsewhere: links and pictures lead into the repository,
    or, without an address, links become their text and pictures are left out. `only` limits it to targets that start so.
    """

    def replace(match: re.Match[str]) -> str:
        is_picture, text, target = bool(match[1]), match[2], match[3]
        if re.match(r"[a-z]+:", target) or not target.startswith(only):
            return match[0]
        if not repository or target.startswith("#"):
            return "" if is_picture else text
        path = (Path("/", folder) / target).as_posix()
        kind = "raw" if is_picture else "blob"
        return f"{match[1]}[{text}]({repository}/{kind}/{BRANCH}{_normal(path)})"

    parts = _CODE.split(markdown)
    # Code in the text of a link is split off too, so links are replaced in the joined text with code put aside
    kept: list[str] = []

    def aside(part: str) -> str:
        kept.append(part)
        return f"\0{len(kept) - 1}\0"

    text = "".join(aside(part) if number % 2 else part for number, part in enumerate(parts))
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], _LINK.sub(replace, text))


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def badge(notebook: str, repository: str) -> str:
    """Markdown of the badge that opens a notebook in Colab; nothing without an address on GitHub."""
    host = "https://github.com/"
    if not repository.startswith(host):
        return ""
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    place = repository.removeprefix(host)
    target = f"https://colab.research.google.com/github/{place}/blob/{BRANCH}/notebooks/{notebook}.ipynb"
    return f"[![Open in Colab]({image})]({target})"
