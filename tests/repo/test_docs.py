"""What the documentation says can be done: links lead somewhere, code compiles, commands and flags exist."""

import argparse
import dataclasses
import importlib.util
import logging
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from generate_excerpts import excerpt, refresh

from egpo_trl.cli.commands import COMMANDS, command_parser
from tests.reports.browsing import opened, started

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
# Programs of others, whose options are not checked
FOREIGN = {
    "torchrun",
    "pip",
    ".venv/bin/pip",
    "trl",
    "vllm",
    "source",
    "git",
    "cd",
    "export",
    "tensorboard",
    "trackio",
    "wandb",
}
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
by_name = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def blocks(path: Path, *languages: str) -> list[str]:
    return [body for _, language, body in FENCE.findall(path.read_text()) if language in languages]


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", path.read_text())


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ +(.+?) *$", prose(path), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in plain}


# Links


@by_name
def test_links(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(file), target


@by_name
def test_files_that_are_named(path):
    text = path.read_text()
    for name in re.findall(
        r"\b(?:configs|benchmarks|docs|notebooks|tests|src)/[\w./-]+\.(?:yaml|py|md|png|ipynb|txt)", text
    ):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert target in TARGETS, target


@by_name
def test_one_line_says_where_the_repository_is(path):
    from repository import address

    for found in re.findall(r"https://github\.com/[\w.-]*egpo[\w./-]*", path.read_text()):
        assert address(), found
        assert found.startswith(address()), found


# Prose


# Idioms of another language: write "is not a", "replaces", "after", "continues", "fix"
ODD = re.compile(
    r"\b(?:(?<!here )(?:is|are) no|stands? (?:in|for|beside|behind|there)|behind the|goes on|mends?|mended)\b"
)
MAX_CELL = 160  # characters of a table cell that a reader sees: two lines


def hand_written(path: Path) -> str:
    """Prose of a page, without the parts that are generated and the addresses of links."""
    text = re.sub(r"<!-- notebooks -->.*?<!-- end of notebooks -->", "", prose(path), flags=re.DOTALL)
    return re.sub(r"\]\([^)\s]+\)", "]", text)


WRITTEN = [path for path in PAGES if path.name != "reference.md"]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_cells_of_tables_are_short(path):
    rows = [line for line in hand_written(path).splitlines() if line.startswith("|")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]
    assert [cell for cell in cells if len(cell) > MAX_CELL] == []


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_odd_idioms(path):
    assert ODD.findall(hand_written(path)) == []


# Python


@by_name
def test_python_compiles(path):
    for code in blocks(path, "python"):
        compile(code.replace("…", "..."), path.name, "exec")  # left out for brevity


def test_excerpts_are_the_source():
    pages = [path for path in PAGES if "<!-- excerpt:" in path.read_text()]
    assert pages
    for path in pages:
        assert path.read_text() == refresh(path.read_text()), "run `python docs/generate_excerpts.py`"
    bonus = excerpt(ROOT / "src" / "egpo_trl" / "advantages.py", "entropy_bonus")
    assert bonus.startswith("def entropy_bonus(")
    assert '"""' not in bonus
    assert "torch.minimum(scaled" in bonus
    with pytest.raises(ValueError, match="does not define 'nothing'"):
        excerpt(ROOT / "src" / "egpo_trl" / "advantages.py", "nothing")


def test_the_guarded_reward_of_the_docs(tmp_path):
    (code,) = [code for code in blocks(DOCS / "reward.md", "python") if "guard_reward" in code]
    scope: dict = {}
    exec(compile(code, "reward.md", "exec"), scope)
    short, long = ([{"role": "assistant", "content": "x" * count}] for count in (10, 1000))
    assert scope["is_short"](prompts=["", ""], completions=[short, long]) == [1.0, 0.0]


def test_the_converters_of_the_docs(tmp_path, monkeypatch):
    """The blocks of data.md run on a small file in place of a data set on the Hub."""
    monkeypatch.chdir(tmp_path)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    Path("xlam.json").write_text(
        '[{"id": 1, "query": "?", "answers": "[{\\"name\\": \\"f\\", \\"arguments\\": {}}]", '
        '"tools": "[{\\"name\\": \\"f\\", \\"description\\": \\"\\", \\"parameters\\": {}}]"}]'
    )
    code = next(code for code in blocks(DOCS / "data.md", "python") if "convert(" in code)
    scope: dict = {}
    exec(compile(code.replace("Salesforce/xlam-function-calling-60k", "xlam.json"), "data.md", "exec"), scope)
    assert scope["rows"].num_rows == 1
    assert Path("rows.jsonl").read_text().count("\n") == 1


# Commands


def commands(path: Path) -> list[list[str]]:
    """Words of every command line in blocks of shell and in inline code that starts with a command."""
    texts = blocks(path, "bash", "sh", "shell")
    texts += [body for body in blocks(path, "") if re.match(r" *(egpo-trl|make|accelerate|python) ", body)]
    inline = re.findall(r"`((?:egpo-trl|python|pytest|accelerate launch) [^`\n]+)`", prose(path))
    lines = [line for text in texts for line in text.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in [*lines, *inline]]
    return [[word for word in line if not re.match(r"[A-Z_]+=", word)] for line in words if line]


@cache
def options_of(command: str) -> set[str]:
    """Options of `egpo-trl COMMAND`."""
    return {name for action in command_parser(command)._actions for name in action.option_strings}


def check_options(words: list[str], known: set[str]) -> None:
    for word in words:
        if word.startswith("--") and word != "--field":
            assert word.partition("=")[0] in known, word


def check_parses(parser: argparse.ArgumentParser, words: list[str]) -> None:
    try:
        parser.parse_args(words)
    except SystemExit:
        raise AssertionError(" ".join(words)) from None


def check_script(name: str, words: list[str]) -> None:
    path = ROOT / name
    assert path.exists(), name
    if name == "train.py":
        check_options(words, options_of("train"))
    else:
        check_options(words, set(re.findall(r"--[\w-]+", path.read_text())))


def check_command(words: list[str]) -> None:
    program, rest = words[0], words[1:]
    if program == "egpo-trl":
        if rest[0] != "COMMAND":
            assert rest[0] in COMMANDS, rest[0]
            has_suites = rest[0] == "evaluate" and len(rest) > 1 and rest[1].islower()
            check_options(rest[1:], options_of(" ".join(rest[: 1 + has_suites])))
        if rest[0] == "curves":  # a value such as '-1$' would be taken for an option
            check_parses(
                command_parser("curves"), ["NAME=RUN,RUN", *rest[1:]]
            )  # `commands` leaves out words like this
    elif program == "make":
        assert rest[0] in TARGETS, rest[0]
    elif program == "accelerate":
        assert rest[0] == "launch"
        script = next(i for i, word in enumerate(rest) if word.endswith(".py"))
        check_script(rest[script], rest[script + 1 :])
    elif program in ("python", ".venv/bin/python"):
        if rest[0] != "-m":
            check_script(rest[0], rest[1:])
        elif rest[1] == "pytest":
            check_command(rest[1:])
        else:
            spec = importlib.util.find_spec(rest[1])
            assert spec is not None, rest[1]
            source = Path(spec.origin).read_text()
            if "ArgumentParser" in source or "TrlParser" in source:  # else it hands its words on
                check_options(rest[2:], set(re.findall(r"--[\w-]+", source)))
    elif program == "pytest":
        for word in rest:
            if word.startswith("tests"):
                assert (ROOT / word.partition("::")[0]).exists(), word
    else:
        assert program in FOREIGN, f"{program}: what is it?"
    for word in rest:
        if re.match(r"(configs|tests|benchmarks)/", word) and "*" not in word and "FILE" not in word:
            assert (ROOT / word.partition("::")[0]).exists(), word


@by_name
def test_commands_exist(path):
    for words in commands(path):
        check_command(words)


def test_the_checks_of_commands_find_what_is_wrong():
    for line in (
        "egpo-trl fly", "egpo-trl curves RUN --wings 2", "egpo-trl curves RUN --group -1$", "make coffee", "python benchmarks/nothing.py", "pytest tests/nothing.py",
        "accelerate launch train.py --lerning_rate 1", "egpo-trl train --config configs/train/nothing.yaml", "rm -rf x",
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            check_command(line.split())


# Fields


def test_the_fields_of_the_guide_exist():
    from trl import ModelConfig

    from egpo_trl import EGPOConfig
    from egpo_trl.runs.script_arguments import EGPOScriptArguments

    known = {
        field.name for kind in (EGPOConfig, EGPOScriptArguments, ModelConfig) for field in dataclasses.fields(kind)
    }
    section = (DOCS / "training.md").read_text().partition("## Fields\n")[2].partition("\n## ")[0]
    named = [
        name for cell in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]
    assert len(named) > 20
    assert not set(named) - known


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(site):
    navigation = (site / "index.html").read_text()
    for path in DOCS.glob("*.md"):
        page = (site / path.with_suffix(".html").name).read_text()
        assert f'href="{path.stem}.html"' in navigation or path.stem == "index"
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?([^\"\s>]+)", page)
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], path
    assert not list(site.rglob("*.py"))


def test_equations_are_shown_without_a_script(site):
    page = (site / "how_it_works.html").read_text()
    equations = len(blocks(DOCS / "how_it_works.md", "math"))
    assert page.count('<div class="equation"><math') == equations >= 5
    assert "$`" not in page
    assert "\\frac" not in page


@pytest.mark.parametrize("public", ["", "https://github.com/someone/egpo-trl"])
def test_links_out_of_the_docs_lead_into_the_repository(public, monkeypatch):
    import site_hooks

    monkeypatch.setattr(site_hooks, "address", lambda: public)
    link = f"[`x`]({public}/blob/main/notebooks/x.ipynb)" if public else "`x`"
    assert site_hooks.convert_page("See [`x`](../notebooks/x.ipynb), [y](y.md#z), `[a](../b)`.") == (
        f"See {link}, [y](y.md#z), `[a](../b)`."
    )
    config = site_hooks.on_config(SimpleNamespace())
    assert (config.repo_url, config.repo_name) == ((public, "someone/egpo-trl") if public else (None, None))


def test_the_site_links_nowhere_without_an_address(site):
    from repository import address

    if not address():
        assert "](../" not in (site / "getting_started.html").read_text()
        assert "md-source" not in (site / "index.html").read_text()


def test_pages_that_the_navigation_does_not_name_are_added():
    from site_hooks import add_missing_pages, convert_page

    nav = [{"Home": "index.md"}, {"Guides": [{"Training": "training.md"}]}, {"Reference": "reference.md"}]
    pages = ["index.md", "multi_turn.md", "reference.md", "training.md"]
    assert add_missing_pages(nav, pages)[1] == {"Guides": [{"Training": "training.md"}, "multi_turn.md"]}
    code = "```python\na = '$`x`$ [b](../c)'\n```"
    assert convert_page(code) == code
    assert convert_page("```math\nx\n```\n").startswith('<div class="equation"><math')


def test_the_reference_has_every_field_metric_and_reason():
    from egpo_trl.reports.glossary import METRICS, REASONS

    text = (DOCS / "reference.md").read_text()
    for kind in ("GRPOConfig", "SFTConfig", "ModelConfig", "TrainingArguments"):  # of TRL and transformers: links
        assert f"- [`{kind}`](https://huggingface.co/docs/" in text
    for name in (*METRICS, *REASONS):
        assert f"| `{name}` |" in text
    for command in re.findall(r"^### `egpo-trl (.+)`$", text, re.MULTILINE):
        parser = command_parser(command)
        for action in parser._actions:
            if action.dest not in ("help", "help_all", *parser._inherited()):
                pattern = rf"`(?:--)?{re.escape(action.dest)}(?: {action.metavar})?`|`{action.metavar}`"
                assert re.search(pattern, text), (command, action.dest)


def test_the_api_names_every_public_name(site):
    import egpo_trl

    page = (site / "api.html").read_text()
    for name in set(egpo_trl.__all__) - {"__version__"}:
        assert re.search(rf'<h3 id="egpo_trl\.[\w.]*\.{name}"', page), name
    assert "[<code>" not in page


def test_the_search_works_from_a_folder(site):
    with started() as browser, opened(browser, site / "index.html") as (page, trouble):
        page.locator("input[name=query]").click()
        page.locator("input[name=query]").press_sequentially("zero-variance groups")
        page.locator(".md-search-result__link").first.wait_for()
        assert "troubleshooting.html" in " ".join(
            link.get_attribute("href") for link in page.locator(".md-search-result__link").all()
        )
        assert trouble == []
