"""A self-contained HTML page of escaped text, tables and pictures: no script, no request, whatever the text holds."""

import html
import re
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Control characters, bidirectional overrides, which could show a text in another order, and half characters.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f4f5f7; color: #1b1f24; font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 12px; }
section { background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; padding: 18px 20px; margin-top: 18px; }
p { margin: 0 0 10px; }
.quiet { color: #57606a; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 16px; }
.tile { flex: 1 1 180px; background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 20px; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 4px 10px; border-bottom: 1px solid #e6e9ed; vertical-align: top; }
th { font-weight: 600; border-bottom: 2px solid #c9d0d8; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td { overflow-wrap: anywhere; }
td:first-child { overflow-wrap: normal; }
td:nth-child(2):not(.number) { min-width: 14em; }
code, pre { font: 13px/1.55 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; unicode-bidi: isolate; }
.picture { overflow-x: auto; }
.picture svg { width: 100%; min-width: 640px; height: auto; display: block; }
summary { cursor: pointer; margin-top: 10px; }
.sample { border-top: 1px solid #e6e9ed; padding-top: 14px; margin-top: 16px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; margin-top: 8px; }
.pair h3 { font-size: 14px; margin: 0 0 6px; }
.cot { background: #f6f8fa; padding: 8px 10px; border-radius: 6px 6px 0 0; }
.answer { padding: 8px 10px; border-radius: 0 0 6px 6px; border: 2px solid; }
.answer.right { border-color: #0072b2; } .answer.wrong { border-color: #d55e00; border-style: dashed; }
.badge { font-weight: 600; } .badge.right { color: #00568a; } .badge.wrong { color: #a34700; }
.bar { display: inline-block; width: 160px; height: 12px; vertical-align: -1px; border: 1px solid #c9d0d8;
  background: linear-gradient(90deg, rgba(230, 159, 0, 0), rgba(230, 159, 0, 1)); }
* { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
@media (max-width: 760px) { .pair { grid-template-columns: 1fr; } }
@media print {
  body { background: #fff; font-size: 12px; } main { max-width: none; padding: 0; } section { padding: 10px 12px; }
  .sample, .picture, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll, .picture { overflow: visible; } .picture svg { min-width: 0; }
  table { font-size: 11px; } th { white-space: normal; } td:nth-child(2):not(.number) { min-width: 0; }
  code, pre { font-size: 10px; } .pair { grid-template-columns: 1fr 1fr; }
}
"""


class Markup(str):
    """HTML that is safe as it stands; every other text is escaped where it enters the page."""

    __slots__ = ()


def show(value: Any) -> Markup:
    """
    Any value as HTML text.

    Args:
        value (`Any`):
            [`Markup`] stays as it is. The text of anything else is escaped, for element content and for attributes in
            double quotes, and characters that could not be shown or would reorder the text become U+FFFD.

    Returns:
        [`Markup`]:
            The HTML.
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_UNSHOWABLE.sub("\ufffd", str(value)), quote=True))


def element(tag: str, *content: Any, **attributes: str) -> Markup:
    """An element; content and attributes are escaped by [`show`]. The attribute `class` is written `class_`."""
    written = "".join(f' {name.rstrip("_")}="{show(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{written}>{''.join(show(part) for part in content)}</{tag}>")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int] = ()) -> Markup:
    """
    A table.

    Args:
        header (`Sequence[str]`):
            Names of the columns.
        rows (`Sequence[Sequence]`):
            Cells.
        numbers (`Sequence[int]`, *optional*):
            Columns to align right.

    Returns:
        [`Markup`]:
            The table, with a scroll bar of its own where it is wider than the page.
    """

    def cells(tag: str, row: Sequence[Any]) -> Markup:
        return element(
            "tr", *(element(tag, cell, **({"class_": "number"} if i in numbers else {})) for i, cell in enumerate(row))
        )

    body = Markup("".join(cells("td", row) for row in rows))
    whole = element("table", element("thead", cells("th", header)), element("tbody", body))
    return element("div", whole, class_="scroll")


def picture(figure: "Figure", description: str) -> Markup:
    """
    A figure as inline SVG.

    Args:
        figure ([`~matplotlib.figure.Figure`]):
            The figure.
        description (`str`):
            What it shows, for readers who do not see it; also keeps the ids of several pictures apart.

    Returns:
        [`Markup`]:
            The picture.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": description, "svg.fonttype": "path"}):
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return element(
        "div", Markup(svg[svg.index("<svg") :]), class_="picture", role="img", **{"aria-label": description}
    )


def page(title: str, *content: Markup) -> str:
    """A whole document. Its policy forbids scripts and requests, should anything ever slip through the escaping."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{show(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{element('main', *content)}\n</body>\n</html>\n"
    )
