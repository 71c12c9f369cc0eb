"""The files that a report reads, what it shows of them, and that nothing a model writes gets into its markup."""

import json
import webbrowser
from html.parser import HTMLParser

import pandas as pd
import pytest

from egpo_trl.cli import main
from egpo_trl.reports.html_page import showable
from egpo_trl.reports.html_report import write_html_report, write_report
from egpo_trl.reports.rollouts import read_rollouts, turns_of_tokens
from egpo_trl.reports.run_log import save_config

from .runs import TOKENS, make_full_run, make_run, sample, summary, training_rollout

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></style></script><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' x='",
    "<!--", "-->", "]]>", "&lt;script&gt;", "{{ 1/0 }}", "{% raw %}", "<svg/onload=alert(1)>", "\u202e\x00\x1b[31m", "\ud800",
]  # fmt: skip


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts, self.inside = [], set(), [], ""
        self.data = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(self.texts)
        self.json = json.loads(self.data)
        self.charts = [chart for section in self.json["sections"] for chart in section]

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes |= {(name, value) for name, value in attributes}
        self.inside = "data" if ("id", "data") in attributes else tag

    def handle_data(self, data):
        if self.inside == "data":
            self.data += data
            self.inside = ""
        elif self.inside not in ("style", "script"):
            self.texts.append(data)


def write_table(run, rows, step=3):
    """A table of completions as TRL writes it."""
    (run / "completions").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(run / "completions" / f"completions_{step:05d}.parquet")


def rollout(text="<think>a</think>[f(x=1)]", request="?", reason="correct", **more):
    return {
        "step": 3, "prompt": [{"role": "user", "content": request}], "completion": [{"role": "assistant", "content": text}],
        "tool_call_reward": float(reason == "correct"), "reason": reason, "advantage": 0.7, **more,
    }  # fmt: skip


def test_everything_is_in_one_small_file(tmp_path, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    run = make_full_run(tmp_path / "run")
    main(["report", str(run), "--open"])
    path = run / "report.html"
    assert capsys.readouterr().out.strip() == str(path)
    assert shown == [path.resolve().as_uri()]
    page = Page(path)
    for words in ("Run run", "40 of 40", "1.5", "Exact match on 8 held-out rows, in %", "two calls", "wrong_value",
                  "mean reward of the rollouts", "max_steps", "6 fields at their defaults", "EGPO (lambda 0.4"):  # fmt: skip
        assert words in page.text, words
    assert next(chart["title"] for chart in page.charts) == "Reward"
    assert len(page.json["rollouts"]) == 32
    links = [value for name, value in page.attributes if name in ("src", "href") and not value.startswith("#")]
    assert links == []  # no request, and it works offline
    assert path.stat().st_size < 200_000


def test_long_runs_stay_small(tmp_path):
    run = make_full_run(tmp_path / "run", steps=5000)
    words = ["word " * 40, 0.5, 1]
    rows = [{**training_rollout(s, f"ask {s}", 0, "correct"), "tokens": [words] * 100} for s in range(200)]
    for row in rows:
        row["completion"] = "".join(token[0] for token in row["tokens"])
    (run / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = write_html_report(run)
    assert path.stat().st_size < 2_000_000
    page = Page(path)
    assert max(len(chart["steps"]) for chart in page.charts) <= 1000
    steps = [one["order"] for one in page.json["rollouts"] if one["order"] >= 0]
    assert len(steps) > 10  # some groups of every part of the run
    assert max(steps) > 150


def test_seeds_without_a_common_step(tmp_path):
    for name, steps in (("a", (1, 2)), ("b", (3, 4))):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"step": step, "reward": 0.5}) + "\n" for step in steps]
        (tmp_path / name / "log.jsonl").write_text("".join(lines))
    seeds = write_report([f"S={tmp_path / 'a'},{tmp_path / 'b'}", str(tmp_path / "b")], tmp_path / "c.html")
    (chart,) = Page(seeds).charts
    assert [line["values"] for line in chart["lines"]] == [[None, None], [0.5, 0.5]]


def test_unfinished_runs_and_runs_without_samples_or_entropies(tmp_path):
    page = Page(write_html_report(make_run(tmp_path / "a", finished=False), tmp_path / "deep" / "a.html"))
    assert "steps, not finished" in page.text
    assert page.json["rollouts"] == []
    page = Page(write_html_report(make_run(tmp_path / "b", [sample(tokens=TOKENS)], finished=False)))
    assert "greedy, before" in page.text
    assert [one["when"] for one in page.json["rollouts"]] == ["before"]
    page = Page(write_html_report(make_run(tmp_path / "c", [sample()], [sample(score=1.0)])))
    assert [(one["when"], one["reason"], one["entropy"]) for one in page.json["rollouts"]] == [
        ("before", "wrong_value", None), ("after", "correct", None)
    ]  # fmt: skip


CLOSED = [("thought", ["<think>", "a", "</think>"]), ("answer", ["[f()]"])]


@pytest.mark.parametrize(
    ("tokens", "turns"),
    [
        ([("<think>", 0, 0), ("a", 1, 1), ("</think>", 0, 0), ("[f()]", 0, 0)], CLOSED),
        ([("<think>", 0, 0), ("a", 1, 1), ("</think>", 0, 0), ("\n\n[f", 0, 0), ("()]", 0, 0)], CLOSED),
        ([("<think>", 0, 0), ("a", 1, 1), ("</think>[f", 0, 0), ("()]", 0, 0)], CLOSED),  # tags merge with neighbours
        ([("<think>", 0, 0), ("a", 1, 1)], [("thought", ["<think>", "a"])]),  # never closed
        ([("plain", 0, 0), (" text", 0, 0)], [("answer", ["plain text"])]),
        ([("[f()]", 0, 0), ("res", 0, 2), ("ult", 0, 2), ("done", 0, 0)],
         [("answer", ["[f()]"]), ("tool", ["result"]), ("answer", ["done"])]),
        ([("t", 1, 1), ("</think>x", 0, 0), ("r", 0, 2), ("u", 1, 1), ("</think>", 0, 0), ("y", 0, 0)],
         [("thought", ["t", "</think>"]), ("answer", ["x"]), ("tool", ["r"]), ("thought", ["u", "</think>"]), ("answer", ["y"])]),
        ([], []),
    ],
)  # fmt: skip
def test_completions_are_thoughts_answers_and_tool_results(tokens, turns):
    found = turns_of_tokens(tokens, "</think>")
    assert [(kind, [text for text, _ in pieces]) for kind, pieces in found] == turns


def test_entropies_of_the_first_tokens_only(tmp_path):
    cut = [["<think>", 0.1, False], ["a", 0.5, True]]
    page = Page(write_html_report(make_run(tmp_path / "d", [sample(tokens=cut)], [sample(tokens=cut)])))
    assert page.json["rollouts"][0]["turns"] == [
        ["thought", [["<think>", None], ["a", 0.5], [" b</think>", None]]], ["answer", [["[f(x=1)]", None]]]
    ]  # fmt: skip


def test_tables_of_completions_are_read_where_no_log_of_rollouts_is(tmp_path):
    run = make_run(tmp_path / "run", finished=False)
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "parsed_call"}}]}
    result = {"role": "tool", "name": "f", "content": "found"}
    write_table(run, [rollout("old", step=1)], step=1)
    write_table(run, [rollout(), rollout(request="another", completion=[call, result, {"content": "end"}])], step=2)
    (run / "completions" / "completions_00003.parquet").write_bytes(b"PAR1")  # is being written
    items = Page(write_html_report(run)).json["rollouts"]
    assert [one["when"] for one in items] == ["step 1", "step 3", "step 3"]
    assert [kind for kind, _ in items[-1]["turns"]] == ["answer", "tool", "answer"]
    assert "parsed_call" in items[-1]["turns"][0][1][0][0]
    assert items[-1]["reward"] == 1.0
    write_table(run, [{"step": 4, "prompt": "p", "completion": "c", "advantage": 0.0}], step=4)  # another reward
    assert len(Page(write_html_report(run)).json["rollouts"]) == 3


def test_groups_are_left_out_evenly(tmp_path):
    run = make_full_run(tmp_path / "run")
    everything = read_rollouts(run, None, None, "</think>")
    some = read_rollouts(run, None, None, "</think>", budget=len(json.dumps(everything)) * 2 // 3)
    assert [one["order"] for one in some] == [1] * 4 + [21] * 4


@pytest.mark.parametrize("evil", HOSTILE)
def test_nothing_hostile_gets_into_the_markup(tmp_path, evil):
    """Tags and attributes of the page are the same, whatever stands in the run."""
    pages = []
    for name, words in (("tame", "words"), ("evil", evil)):
        tokens = [[words, 0.5, True], ["</think>", 0.1, False], [words, 0.2, False]]
        items = [sample(f"{words}</think>{words}", request=words, reference=words, reason=words, tokens=tokens)] * 2
        run = make_run(tmp_path / name, items, items)
        data = summary(items)
        for part in data.values():
            part["exact_match"][words] = 0.1
            part["reasons"][words] = 1
        (run / "before.json").write_text(json.dumps(data))
        (run / "after.json").write_text(json.dumps(data))
        log = [
            {"step": s, "reward": 1.0, words: 1.0, f"reason/{words}": 0.5, f"rewards/{words}/mean": 1} for s in (1, 2)
        ]
        (run / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
        fields = {words: words, "other": [words], "egpo_lambda": 1, "model_name_or_path": words}
        save_config(fields, [words], {words: words}, run)
        stored = words.encode("utf-8", "replace").decode()  # Arrow holds no half characters
        write_table(run, [rollout(stored, stored, stored), rollout(stored, stored)])
        pages.append(Page(write_html_report(run)))
    tame, hostile = pages
    assert hostile.tags == tame.tags
    assert hostile.tags.count("script") == 3
    assert {name for name, _ in hostile.attributes} == {name for name, _ in tame.attributes}
    (policy,) = [value for name, value in hostile.attributes if name == "content" and "default-src" in value]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "<" not in hostile.data
    assert json.dumps(showable(evil)) in json.dumps(hostile.json)


def test_texts_that_cannot_be_shown():
    assert showable("a\u202eb\x00\ud800\n") == "a\ufffdb\ufffd\ufffd\n"
    assert showable({"a\x00": [float("nan"), ("\u2066", 1)]}) == {"a\ufffd": [None, ["\ufffd", 1]]}


def test_errors(tmp_path):
    for folder, message in ((tmp_path / "none", "is not a folder"), (tmp_path, "does not contain a log yet")):
        with pytest.raises(SystemExit, match=message):
            main(["report", str(folder)])
    run = make_run(tmp_path / "run")
    for text in ("{", '{"greedy": {}}', '{"greedy": 1}', "7"):
        (run / "before.json").write_text(text)
        with pytest.raises(SystemExit, match=r"before\.json is not a summary"):
            main(["report", str(run)])
    (run / "before.json").unlink()
    for text in ("{}\n", "[1]\n", '{"step": 1}\n{"step": 2}\n'):
        (run / "rollouts.jsonl").write_text(text)
        with pytest.raises(SystemExit, match=r"rollouts in .* cannot be read"):
            main(["report", str(run)])
