"""The page of a comparison in real Chromium: marks, intervals, table, completions side by side, hostile texts."""

import json

import pytest

from egpo_trl.cli import main
from egpo_trl.evaluation.evaluate import JOURNAL
from tests.reports.browsing import opened, started
from tests.reports.test_browser import HOSTILE

SCORES = {"first": [1, 0, 0, 1, 0, 1], "second": [1, 1, 1, 1, 0, 0], "third": [1, 1, 1, 1, 1, 1]}


def make_evaluation(folder, name, scores, words="plain", category="calls"):
    """A folder as `egpo-trl evaluate` leaves it, two categories of three prompts."""
    folder.mkdir()
    lines, journal = [], [{"journal": 1}]
    for number, score in enumerate(scores):
        item = f"item {number}"
        kind = category if number < 3 else "no calls"
        reason = "correct" if score else "wrong_value"
        lines.append({"id": item, "category": kind, "sample": 0, "score": score, "reason": reason, "item": "d",
                      "request": f"{words} {number}"})  # fmt: skip
        text = f"<think>{name} thinks {words}</think>[f(x={number})]"
        journal.append({"item": item, "sample": 0, "step": 0, "completion": {"text": text}})
    rows = [{"category": "all", "weights": {category: 0.5, "no calls": 0.5}}]
    sampling = {"model": name, "think_tags": None, "seed": 0}
    summary = {"suite": "s", "rows": rows, "options": {"num_demo_rows": 6}, "sampling": sampling}
    (folder / "summary.json").write_text(json.dumps(summary))
    for file, kept in (("scores.jsonl", lines), (JOURNAL, journal)):
        (folder / file).write_text("".join(json.dumps(line) + "\n" for line in kept))
    return folder


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    words = [f"{name}={make_evaluation(folder / name, name, scores)}" for name, scores in SCORES.items()]
    main(["compare", *words, "--output_dir", str(folder / "both")])
    return folder / "both"


@pytest.fixture
def page(browser, folder):
    with opened(browser, folder / "comparison.html") as (page, trouble):
        yield page
        assert trouble == []


def chart(page, title):
    return page.locator(".chart").filter(has=page.locator("h3", has_text=title)).first


def point_at(page, title, share):
    over = chart(page, title).locator(".u-over")
    over.hover(position={"x": share * over.bounding_box()["width"], "y": 50})


def test_marks_say_what_they_are(page):
    names = chart(page, "Scores").locator(".names")
    assert names.inner_text().split("\n")[0] == "all"
    assert names.locator("button").nth(0).inner_text().startswith("first50.0 (")
    assert chart(page, "Difference to first").locator("button").count() == 2
    for share, category, score in ((1 / 6, "calls", "33.3"), (3 / 6, "no calls", "66.7"), (5 / 6, "all", "50.0")):
        point_at(page, "Scores", share)
        assert names.locator("output").first.inner_text() == category
        assert names.locator("button output").first.inner_text().startswith(f"{score} (")
        assert chart(page, "Difference").locator(".names output").first.inner_text() == category  # both follow


def test_a_click_on_a_name_hides_marks_and_intervals(page):
    def inked():
        script = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.reduce((n, v, i) => n + "
        script += "(i % 4 === 3 && v > 0 ? 1 : 0), 0)"
        return chart(page, "Scores").locator("canvas").evaluate(script)

    shown = inked()
    chart(page, "Scores").get_by_role("button", name="second").click()
    page.wait_for_timeout(50)
    assert inked() < shown - 100


def test_the_table_and_the_settings(page):
    table = page.locator("section", has=page.get_by_role("heading", name="Table"))
    assert table.locator("th").all_inner_texts() == [
        "category", "n", "first", "second", "second - first", "third", "third - first"
    ]  # fmt: skip
    assert table.locator("tbody tr").count() == 3
    differ = page.locator("section", has_text="Fields that differ").locator("td").all_inner_texts()
    assert differ == ["model", '"first"', '"second"', '"third"']


FILTERS = [
    ({}, 18),
    ({"run": "second"}, 6),
    ({"run": "all, where they differ"}, 12),
    ({"when": "no calls"}, 9),
    ({"run": "all, where they differ", "when": "calls"}, 6),
    ({"run": "first", "reason": "wrong_value"}, 3),
]


@pytest.mark.parametrize(("choices", "left"), FILTERS)
def test_filters(page, choices, left):
    for name, value in choices.items():
        option = page.locator(f"[name={name}] option").filter(has_text=value).first
        page.locator(f"[name={name}]").select_option(option.get_attribute("value"))
    assert page.locator("#rollouts output").inner_text().startswith(f"{left} of 18")


def test_what_differs_comes_first_and_a_prompt_is_shown_side_by_side(page):
    assert page.locator(".request").first.inner_text() == "Request: plain 1"
    page.get_by_role("button", name="Side by side").first.click()
    assert page.locator(".card").count() == 3
    assert page.locator(".thought").all_inner_texts() == [f"<think>{name} thinks plain</think>" for name in SCORES]
    assert page.locator(".answer").first.inner_text() == "[f(x=1)]"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screens_and_dark_mode(browser, folder, scheme):
    with opened(browser, folder / "comparison.html", width=360, height=740, scheme=scheme) as (page, trouble):
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.emulate_media(color_scheme="dark" if scheme == "light" else "light")  # the charts are painted anew
        assert page.locator(".chart canvas").count() == 2
        assert trouble == []


def test_nothing_that_a_model_writes_runs_or_loads(browser, tmp_path):
    evil = "".join(HOSTILE)
    runs = [f"{name}={make_evaluation(tmp_path / name, evil, scores, evil, evil)}" for name, scores in SCORES.items()]
    main(["compare", *runs, "--output_dir", str(tmp_path / "both"), "--title", evil])
    with opened(browser, tmp_path / "both" / "comparison.html") as (page, trouble):
        assert page.locator(".card").count() == 12
        assert "<script>alert(1)</script>" in page.locator(".card").first.inner_text()
        assert "\u202e" not in page.locator("body").inner_text()
        assert page.locator("script").count() == 3
        assert trouble == []


def test_a_journal_that_was_removed(tmp_path):
    folders = [make_evaluation(tmp_path / name, name, SCORES[name]) for name in ("first", "second")]
    for folder in folders:
        (folder / JOURNAL).unlink()
    main(["compare", *map(str, folders)])
    assert "plain 1" in (folders[0] / "comparison.html").read_text(encoding="utf-8")
