"""The report in real Chromium: curves, the browser of rollouts, narrow screens, dark mode, hostile texts."""

import json

import pytest

from egpo_trl.reports.html_report import write_report

from .browsing import opened, started
from .runs import make_full_run, make_run, sample, training_rollout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_full_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser, run):
    with opened(browser, write_report([str(run)])) as (page, trouble):
        yield page
        assert trouble == []


@pytest.fixture(autouse=True)
def reset(request):
    yield
    if "page" in request.fixturenames:
        request.getfixturevalue("page").reload()


def cards(page):
    return page.locator(".card")


def badges(page):
    return [text.split()[-1] for text in page.locator(".card .badge").all_inner_texts()]


def pick(page, name, value):
    page.locator(f"[name={name}]").select_option(value)


def count(page):
    return page.locator("#rollouts output").inner_text()


def chart(page, title):
    return page.locator(".chart").filter(has=page.locator("h3", has_text=title)).first


def test_every_chart_is_painted(page):
    assert page.locator(".chart").count() == 6  # reward, entropy, length, bonus, shares; verdicts
    painted = page.evaluate(
        "[...document.querySelectorAll('canvas')].map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height)"
        ".data.some(v => v > 0))"
    )
    assert painted == [True] * 6


def test_pointing_at_a_curve_shows_the_values_of_its_step(page):
    reward = chart(page, "Reward")
    assert reward.locator("output").first.inner_text() == "last"
    reward.locator(".u-over").hover(position={"x": 2, "y": 50})
    assert reward.locator("output").first.inner_text() == "step 1"
    assert reward.locator("output").nth(2).inner_text() == "0.025"  # held out: the mean of steps 1 to 3
    assert chart(page, "Entropy").locator("output").first.inner_text() == "step 1"  # all charts follow


def test_a_click_on_a_name_hides_its_line(page):
    def inked():
        script = "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
        script += (
            "for (let i = 0; i < d.length; i += 4) n += d[i] > 180 && d[i + 1] < 150 && d[i + 2] < 90; return n }"
        )
        return chart(page, "Reward").locator("canvas").evaluate(script)

    button = chart(page, "Reward").get_by_role("button", name="held out")
    shown = inked()
    button.click()
    page.wait_for_timeout(50)
    assert button.get_attribute("aria-pressed") == "false"
    assert shown > 50
    assert inked() == 0
    button.click()
    page.wait_for_timeout(50)
    assert inked() == shown


def test_dragging_zooms_and_a_double_click_shows_all(page):
    over = chart(page, "Reward").locator(".u-over")
    box = over.bounding_box()

    def last_step():
        over.hover(position={"x": box["width"] - 2, "y": 60})
        return chart(page, "Reward").locator("output").first.inner_text()

    assert last_step() == "step 40"
    y = box["y"] + 60
    page.mouse.move(box["x"] + 5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=5)
    page.mouse.up()
    assert last_step() in ("step 20", "step 21")
    over.dblclick(position={"x": 20, "y": 60})
    assert last_step() == "step 40"


@pytest.mark.parametrize(
    ("choices", "left"),
    [
        ({}, 32),
        ({"reason": "correct"}, 16),
        ({"reason": "missing_call"}, 4),
        ({"when": "held out"}, 16),
        ({"when": "training"}, 16),
        ({"when": "before"}, 8),
        ({"when": "step 11"}, 4),
        ({"when": "step 11", "reason": "correct"}, 2),
        ({"when": "before", "reason": "correct"}, 0),
    ],
)
def test_filters(page, choices, left):
    for name, value in choices.items():
        pick(page, name, value)
    assert count(page).startswith(f"{left} of 32")
    assert cards(page).count() == min(left, 12)
    if "reason" in choices:
        assert set(badges(page)) <= {choices["reason"]}
    page.get_by_role("button", name="Show all").click()
    assert count(page).startswith("32 of 32")


def test_text_is_found_in_requests_and_completions(page):
    field = page.locator("[name=text]")
    field.fill("ASK 21")
    assert count(page).startswith("4 of 32")
    field.fill("result3")
    assert count(page).startswith("4 of 32")


@pytest.mark.parametrize(("order", "fact"), [("reward-", "reward"), ("reward+", "reward"), ("entropy-", "entropy"), ("entropy+", "entropy")])  # fmt: skip
def test_sorting(page, order, fact):
    pick(page, "sort", order)
    page.get_by_role("button", name="Show more").click()
    page.get_by_role("button", name="Show more").click()
    shown = page.locator(".card header span.quiet", has_text=f"{fact} ").all_inner_texts()
    values = [float(text.split()[-1]) for text in shown]
    assert len(values) == 32
    assert values == sorted(values, reverse=order.endswith("-"))
    assert values[0] != values[-1]


def test_a_group_side_by_side(page):
    pick(page, "when", "step 21")
    page.get_by_role("button", name="Whole group").first.click()
    assert cards(page).count() == 4
    tops = {round(cards(page).nth(n).bounding_box()["y"]) for n in range(3)}
    assert len(tops) == 1
    assert len(set(page.locator(".request").all_inner_texts())) == 1
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="Before and after").first.click()
    assert badges(page) == ["wrong_value", "correct"]


def test_thoughts_are_shaded_by_entropy_and_tool_results_are_folded(page):
    pick(page, "when", "step 31")
    card = cards(page).nth(3)
    tokens = card.locator(".thought span")
    assert tokens.all_inner_texts() == ["plan3", " then"]
    shades = tokens.evaluate_all("all => all.map(one => parseFloat(one.style.background.split(',')[3]))")
    assert shades[0] == pytest.approx(2 * shades[1], abs=0.002)
    assert "nats" in tokens.first.get_attribute("title")
    assert card.locator(".answer pre").all_inner_texts() == ["[f(x=3)]", "done"]
    result = card.locator("details.tool pre")
    assert not result.is_visible()
    card.get_by_text("tool result").click()
    assert result.inner_text() == "result3"


def test_more_rollouts_on_demand(page):
    assert cards(page).count() == 12
    page.get_by_role("button", name="Show more").click()
    assert cards(page).count() == 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screens_and_dark_mode(browser, run, scheme, tmp_path):
    with opened(browser, write_report([str(run)], tmp_path / "r.html"), width=360, height=740, scheme=scheme) as (
        page,
        trouble,
    ):
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(20, 23, 27)") == (scheme == "dark")
        widths = page.evaluate("[...document.querySelectorAll('.uplot')].map(c => c.clientWidth)")
        assert all(200 <= width <= 360 for width in widths)
        picture = page.screenshot(path=tmp_path / "shot.png", full_page=True)
        assert len(picture) > 20_000
        page.emulate_media(color_scheme="dark" if scheme == "light" else "light")  # the charts are painted anew
        assert page.locator(".chart canvas").count() == 6
        assert trouble == []


def test_runs_side_by_side(browser, run, tmp_path):
    seeds = [make_full_run(tmp_path / f"other{n}", shift=n / 4) for n in (1, 2)]
    words = [str(run), f"other={seeds[0]},{seeds[1]}"]
    with opened(browser, write_report(words, tmp_path / "compared.html")) as (page, trouble):
        names = chart(page, "Reward").locator(".names button").all_inner_texts()
        assert len(names) == 2
        assert names[1].startswith("first")
        assert names[0].startswith("other (2 seeds)")
        pick(page, "run", "other, seed 2")
        assert count(page).startswith("32 of 96")
        assert page.locator("section", has_text="Fields that differ").locator("td").all_inner_texts() == [
            "egpo_lambda", "0.65", "0.9", "0.4"
        ]  # fmt: skip
        assert trouble == []


HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--<script>",
    "</pre></style><svg/onload=alert(1)>", "\" autofocus onfocus=\"alert(1)", "{{ 7*7 }}", "javascript:alert(1)",
    "<link rel=stylesheet href=https://example.com/x>", "\u2028</title>", "\u202e\x00\x1b[31m",
]  # fmt: skip


def test_nothing_that_a_model_writes_runs_or_loads(browser, tmp_path):
    evil = "".join(HOSTILE)
    tokens = [[evil, 0.5, 1], ["</think>", 0.1, 0], [evil, 0.2, 0]]
    items = [sample(f"{evil}</think>{evil}", request=evil, reference=evil, reason=evil, tokens=tokens)]
    run = make_run(tmp_path / "evil", items, items)
    row = training_rollout(1, evil, 0, evil)
    (run / "rollouts.jsonl").write_text(json.dumps({**row, "reference": evil, "tokens": tokens}) + "\n")
    log = [{"step": s, "reward": 1.0, evil: 1.0, f"reason/{evil}": 0.5} for s in (1, 2)]
    (run / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    with opened(browser, write_report([str(run)])) as (page, trouble):
        assert cards(page).count() == 3
        assert "<script>alert(1)</script>" in cards(page).first.inner_text()
        assert "\u202e" not in page.locator("body").inner_text()
        assert page.locator("script").count() == 3
        assert trouble == []
