"""Refreshes the excerpts of the source in the documentation: `python docs/generate_excerpts.py`.

An excerpt is a block of Python below a line `<!-- excerpt: PATH NAME -->`, PATH of a source file and NAME of a function,
class or method in it. It holds that definition without its docstring; a test compares it with the source.
"""

import ast
import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).parent
_EXCERPT = re.compile(r"(<!-- excerpt: (\S+) (\S+) -->\n)(?:```python\n.*?^```\n)?", re.MULTILINE | re.DOTALL)


def excerpt(path: Path, name: str) -> str:
    """
    Source of a definition in a file, without its docstring.

    Args:
        path (`Path`):
            Python file.
        name (`str`):
            Name of the function, class or method, such as `Class.method`.

    Returns:
        `str`:
            Dedented source.

    Raises:
        ValueError: If the file does not define it.
    """
    text = path.read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        found = [one for one in getattr(node, "body", []) if getattr(one, "name", None) == part]
        if not found:
            raise ValueError(f"{path} does not define {name!r}.")
        node = found[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        assert docstring.end_lineno is not None
        del lines[docstring.lineno - node.lineno : docstring.end_lineno - node.lineno + 1]
    return textwrap.dedent("\n".join(lines))


def refresh(markdown: str) -> str:
    """A page with its excerpts as the source has them."""
    return _EXCERPT.sub(
        lambda match: f"{match[1]}```python\n{excerpt(DOCS.parent / match[2], match[3])}\n```\n", markdown
    )


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if text != refresh(text):
            page.write_text(refresh(text), encoding="utf-8")
            print(page)
