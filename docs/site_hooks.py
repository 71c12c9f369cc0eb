"""Converts the pages for the site: they are plain Markdown that reads well on GitHub too.

Equations (```` ```math ```` blocks and $`…`$) become MathML, which browsers show without a script. Links to files outside
docs/ lead into the repository, or become their text while it lacks an address. Pages that the navigation in mkdocs.yml does
not name are added to its guides.
"""

import re
import sys
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from repository import absolute_links, address  # noqa: E402

_FENCED = re.compile(r"^(```+)([^\n]*)\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"\$`([^`]+)`\$")


def _mathml(latex: str, display: str) -> str:
    return latex2mathml.converter.convert(latex.strip(), display=display).replace("\n", " ")


def _convert_text(text: str) -> str:
    # In a span, since Markdown takes a line that starts with a math element for a block
    text = _INLINE.sub(lambda match: f"<span>{_mathml(match[1], 'inline')}</span>", text)
    return absolute_links(text, address(), "docs", only="../")


def convert_page(markdown: str) -> str:
    """Markdown of a page with MathML and links into the repository; other blocks of code stay as they are."""
    parts, place = [], 0
    for block in _FENCED.finditer(markdown):
        equation = f'<div class="equation">{_mathml(block[3], "block")}</div>'
        parts += [_convert_text(markdown[place : block.start()]), equation if block[2] == "math" else block[0]]
        place = block.end()
    return "".join([*parts, _convert_text(markdown[place:])])


def add_missing_pages(nav: list[Any], pages: list[str]) -> list[Any]:
    """The navigation with the pages that it does not name at the end of its guides, titled by their names."""
    named = re.findall(r"[\w/-]+\.md", str(nav))
    missing = [page for page in pages if page not in named]
    return [
        {"Guides": [*entry["Guides"], *missing]} if isinstance(entry, dict) and "Guides" in entry else entry
        for entry in nav
    ]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.repo_url = address() or None
    config.repo_name = address().removeprefix("https://github.com/") or None
    config.edit_uri = ""
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = sorted(file.src_uri for file in files.documentation_pages())
    config.nav = add_missing_pages(config.nav or [], pages)
    return files


def plain_names(page: str) -> str:
    """HTML of the API without the brackets of docstrings: [`~trl.GRPOTrainer`] is shown as GRPOTrainer."""
    page = re.sub(r"\[<code>~?([\w.]+)</code>\]", lambda match: f"<code>{match[1].rpartition('.')[2]}</code>", page)
    return re.sub(r"\[`~?([\w.]+)`\]", lambda match: match[1].rpartition(".")[2], page)


def on_page_content(html: str, **_: Any) -> str:
    return plain_names(html)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return convert_page(markdown)
