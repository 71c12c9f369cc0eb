"""The HTML report: what it shows, and that nothing a model writes can run in it."""

import json
from html.parser import HTMLParser

import pandas as pd
import pytest

from egpo_trl.cli import main
from egpo_trl.reports.html_page import Markup, element, show
from egpo_trl.reports.html_report import write_html_report
from egpo_trl.reports.run_log import save_config

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></style></script><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' x='",
    "<!--", "-->", "]]>", "&lt;script&gt;", "javascript:alert(1)", "<svg/onload=alert(1)>", "\u202e\x00\x1b[31m", "\ud800",
]  # fmt: skip


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {(name, value) for name, value in attributes}

    def handle_data(self, data):
        self.texts.append(data)


def summary(completions):
    return {
        name: {
            "exact_match": {"all": 0.5, "two calls": 0.25},
            "reasons": {"correct": 1, "wrong_value": 3},
            "completions": completions,
        }
        for name in ("greedy", "sampled")
    }


def sample(text="<think>a b</think>[f(x=1)]", score=0.0, request="?", **more):
    return {
        "prompt": [{"role": "user", "content": request}], "reference": "[]", "completion": text, "score": score,
        "reason": "correct" if score else "wrong_value", **more,
    }  # fmt: skip


TOKENS = [
    ["<think>", 0.1, False],
    ["a", 0.5, True],
    [" b", 2.0, True],
    ["</think>", 0.1, False],
    ["[f(x=1)]", 0.3, False],
]


def make_run(folder, old=None, new=None, finished=True):
    folder.mkdir(parents=True, exist_ok=True)
    log = [
        {"step": s, "reward": s / 10, "reason/correct": s / 10, "reason/wrong_value": 1 - s / 10} for s in (1, 2, 3)
    ]
    log += [{"step": 3, "train_runtime": 90.0}] if finished else []
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    for name, completions in (("before", old), ("after", new)):
        if completions is not None:
            (folder / f"{name}.json").write_text(json.dumps(summary(completions)))
    return folder


def write_rollouts(run, rows, step=3):
    """A table of completions as TRL writes it."""
    (run / "completions").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(run / "completions" / f"completions_{step:05d}.parquet")


def rollout(text="<think>a</think>[f(x=1)]", request="?", reason="correct", **more):
    return {
        "step": 3, "prompt": [{"role": "user", "content": request}], "completion": [{"role": "assistant", "content": text}],
        "tool_call_reward": float(reason == "correct"), "reason": reason, "advantage": 0.7, **more,
    }  # fmt: skip


def text_of(path):
    return path.read_text(encoding="utf-8")


def test_everything_is_in_one_file(tmp_path, capsys):
    run = make_run(tmp_path / "run", [sample(tokens=TOKENS)], [sample(score=1.0, tokens=TOKENS)])
    save_config({"max_steps": 3, "egpo_lambda": 0.4, "lr": 1}, ["max_steps"], {"trl": "1.16"}, run)
    main(["report", str(run)])
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    text = text_of(run / "report.html")
    assert text.count("<svg") == 2
    shown = " ".join(Page(text).texts)
    for words in ("Run run", "3 of 3", "1.5", "Exact match on 1 held-out rows", "50.0", "two calls", "wrong_value",
                  "mean reward of the rollouts", "max_steps", "2 fields", "✗ wrong: wrong_value", "✓ right", "2.00 nats",
                  "EGPO"):  # fmt: skip
        assert words in shown or words in text, words
    page = Page(text)
    assert ("title", "2.000 nats") in page.attributes  # the token with the largest entropy is shaded the most
    assert ("style", "background: rgba(230, 159, 0, 1.00)") in page.attributes
    assert ("style", "background: rgba(230, 159, 0, 0.25)") in page.attributes
    links = [value for name, value in page.attributes if name in ("src", "href") and not value.startswith("#")]
    assert links == []  # no request, and it works offline


def test_unfinished_runs_and_runs_without_samples_or_entropies(tmp_path):
    text = text_of(write_html_report(make_run(tmp_path / "a", finished=False), tmp_path / "deep" / "a.html"))
    assert "steps, not finished" in text
    text = text_of(write_html_report(make_run(tmp_path / "b", [sample()], finished=False)))
    assert "greedy, before" in text
    text = text_of(write_html_report(make_run(tmp_path / "c", [sample()], [sample(score=1.0)])))
    assert "✓ right" in text
    assert "nats</p>" not in text.replace("nats.", "")
    assert "rgba(230, 159, 0, 0." not in text
    cut = [["<think>", 0.1, False], ["a", 0.5, True]]  # entropies of the first tokens only
    text = text_of(write_html_report(make_run(tmp_path / "d", [sample(tokens=cut)], [sample(tokens=cut)])))
    assert "[f(x=1)]" in text
    assert " b&lt;/think&gt;" in text
    no_block = make_run(tmp_path / "e", [sample("x")], [sample("<think>never closed")])
    assert "never closed" in text_of(write_html_report(no_block))


def test_completions_before_training_are_shown_during_a_run(tmp_path):
    text = text_of(write_html_report(make_run(tmp_path / "run", [sample(tokens=TOKENS)], finished=False)))
    assert "Completions before training" in text
    assert "<h3>before: " in text
    assert "<h3>after: " not in text
    assert "rgba(230, 159, 0, 1.00)" in text


def test_rollouts_of_a_run_that_is_not_finished(tmp_path):
    run = make_run(tmp_path / "run", finished=False)
    write_rollouts(run, [rollout("old")], step=1)
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "parsed_call"}}]}
    write_rollouts(
        run,
        [
            rollout("right one"),
            rollout("right two"),
            rollout("wrong one", reason="wrong_value", advantage=-0.7),
            rollout(request="another", completion=[call]),
        ],
        step=2,
    )
    (run / "completions" / "completions_00003.parquet").write_bytes(b"PAR1")  # is being written
    text = " ".join(Page(text_of(write_html_report(run))).texts)
    assert "completions_00002.parquet" in text
    assert "✓ right" in text
    assert "✗ wrong: wrong_value" in text
    assert "advantage -0.70" in text
    assert "right one" in text
    assert "parsed_call" in text
    assert "right two" not in text  # one of each kind and prompt
    assert "old" not in text.split()
    write_rollouts(run, [{"step": 4, "prompt": "p", "completion": "c", "advantage": 0.0}], step=4)  # another reward
    assert "Rollouts" not in text_of(write_html_report(run))


@pytest.mark.parametrize("evil", HOSTILE)
def test_nothing_hostile_gets_into_the_page(tmp_path, evil):
    """The tags and attributes of the page are the same, whatever stands in the run."""
    pages = []
    for name, words in (("tame", "words"), ("evil", evil)):
        tokens = [[words, 0.5, True], ["</think>", 0.1, False], [words, 0.2, False]]
        items = [
            sample(f"{words}</think>{words}", request=words, reference=words, reason=words, tokens=tokens)
            for _ in range(2)
        ]
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
        save_config(
            {words: words, "other": [words], "egpo_lambda": 1, "model_name_or_path": words},
            [words],
            {words: words},
            run,
        )
        stored = words.encode("utf-8", "replace").decode()  # Arrow holds no half characters
        write_rollouts(run, [rollout(stored, stored, stored), rollout(stored, stored)])
        pages.append(Page(text_of(write_html_report(run))))
    tame, hostile = pages
    assert hostile.tags == tame.tags
    assert "script" not in hostile.tags
    assert {name for name, _ in hostile.attributes} == {name for name, _ in tame.attributes}
    assert not any(name.startswith("on") for name, _ in hostile.attributes)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in hostile.attributes


def test_escaping():
    assert show("<b a=\"x\" c='y'>&") == "&lt;b a=&quot;x&quot; c=&#x27;y&#x27;&gt;&amp;"
    assert show("a\u202eb\x00\ud800\n") == "a\ufffdb\ufffd\ufffd\n"
    assert show(Markup("<b>")) == "<b>"
    assert element("p", "<", Markup("<br>"), class_='"') == '<p class="&quot;">&lt;<br></p>'


def test_errors(tmp_path):
    for folder, message in ((tmp_path / "none", "is no folder"), (tmp_path, "holds no log")):
        with pytest.raises(SystemExit, match=message):
            main(["report", str(folder)])
    run = make_run(tmp_path / "run")
    for text in ("{", "[]", '{"greedy": {}}', '{"greedy": 1}'):
        (run / "before.json").write_text(text)
        if text != "[]":
            with pytest.raises(SystemExit, match=r"before\.json is no summary"):
                main(["report", str(run)])
