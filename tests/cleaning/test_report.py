"""The page about a cleaning run: what was dropped and why, corrections side by side, hostile texts."""

import json
import re

import pytest

from egpo_trl.cleaning import CleaningConfig, clean
from egpo_trl.cleaning.report import Samples, write_report
from egpo_trl.demo.world import make_rows

TITLES = {"input": "Input", "form": "Form", "llm": "LLM", "ast": "AST"}
HOSTILE = "<script>alert(1)</script>\u202e\x00{{ 7 * 7 }}"


def row(reference, **columns):
    tools = json.dumps(
        [{"name": "order", "parameters": {"type": "object", "properties": {"dish": {"enum": ["soup", "salad"]}}}}]
    )
    return {
        "prompt": [{"role": "user", "content": "A pizza."}],
        "tools": tools,
        "reference": json.dumps(reference),
        **columns,
    }


def test_a_run_tells_where_and_why(tmp_path):
    rows = [*make_rows(5), row([{"name": "order", "arguments": {"dish": "pizza"}}], id="menu")]
    report = clean(CleaningConfig(output_dir=str(tmp_path), backend="none", output_format="jsonl"), rows=rows)
    (dropped,) = map(json.loads, report.dropped.open())
    detail = "order(dish: 'pizza' is not one of ['soup', 'salad'])"
    assert (dropped["reason"], dropped["detail"]) == ("wrong_value", detail)
    page = report.report.read_text(encoding="utf-8")
    assert report.report == tmp_path / "report.html"
    assert "wrong_value</b>: 1 rows" in page
    assert "order(dish: &#39;pizza&#39; is not one of [&#39;soup&#39;, &#39;salad&#39;])" in page
    assert page.count("<article>") == 1 + 5


def test_corrections_are_side_by_side_and_texts_harmless(tmp_path):
    samples = Samples()
    before, after = row([{"name": "order", "arguments": {"dish": HOSTILE}}]), row([], answer=HOSTILE, id=HOSTILE)
    samples.add("llm", "corrected", after, before=before, detail=HOSTILE)
    samples.add("llm", "no_correction", {"prompt": HOSTILE, "tools": HOSTILE, "reference": None}, detail=HOSTILE)
    counts = {
        "input": {"rows": 2, "corrected": 0, "dropped": {}},
        "llm": {"rows": 1, "corrected": 1, "dropped": {"no_correction": 1}},
    }
    write_report(tmp_path / "r.html", HOSTILE, counts, TITLES, samples)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.search(r"before<pre>.*?&lt;script&gt;.*?</pre></div><div>after<pre>&lt;script&gt;", page, re.DOTALL)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "{{ 7 * 7 }}" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


@pytest.mark.parametrize("number", [3, 500])
def test_samples_are_few_and_the_same_each_time(number):
    def drawn():
        samples = Samples()
        for index in range(number):
            samples.add("ast", "wrong_type", {"id": index})
        return [sample["row"]["id"] for sample in samples.groups["ast", "wrong_type"]]

    assert drawn() == drawn()
    assert len(set(drawn())) == min(number, 5)
    assert number < 100 or max(drawn()) > 20
