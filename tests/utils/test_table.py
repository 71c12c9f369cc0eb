"""One table for Markdown and the terminal."""

from egpo_trl.utils.table import Table

TABLE = Table(["name", "a|b"], [["[x]\ny", "**+1**"], ["all", "2"]], [1])


def test_markdown():
    assert TABLE.markdown().splitlines() == [
        "| name | a\\|b |", "| --- | ---: |", "| [x] y | **+1** |", "| **all** | 2 |",
    ]  # fmt: skip


def test_print(capsys):
    TABLE.print("title [bold]")
    shown = capsys.readouterr().out
    for words in ("title [bold]", "a|b", "[x]", "+1"):
        assert words in shown
    assert "**" not in shown
