"""docs/study.md and its figures are what `python -m benchmarks.study report` writes from the CSV files."""

import random
import re
from pathlib import Path

import pytest

from benchmarks.study.__main__ import main
from benchmarks.study.analysis import read_study
from benchmarks.study.design import ARMS, MAIN, TASKS
from benchmarks.study.figures import draw_figures
from benchmarks.study.order import blocks, known_runs
from benchmarks.study.page import IMAGES, PAGE, page_text, write_page
from benchmarks.study.runner import RESULTS
from benchmarks.study.store import COLUMNS, CURVE_COLUMNS, WARM_START_COLUMNS, write_csv


def made_up(folder: Path, most: int, effect: float = 0.05) -> Path:
    """CSV files as if so many runs were finished; `egpo_token` ends higher by the effect."""
    rng, rows = random.Random(0), {}
    while len(rows) < most:
        waiting = [run for run in known_runs(rows) if run.name not in rows][: most - len(rows)]
        if not waiting:
            break
        for run in waiting:
            pair = random.Random(run.seed).gauss(0.8, 0.02)
            score = pair + rng.gauss(0, 0.003) + (effect if run.arm == "egpo_token" else 0.0)
            numbers = dict.fromkeys(("greedy", "pass_at_k", "train_seconds"), "0.5")
            if run.arm != "sft":
                numbers |= dict.fromkeys(
                    ("auc_reward", "cot_length", "cot_entropy", "bonus_over_advantage", "clipped"), "0.5"
                )
            rows[run.name] = {"run": run.name, **vars(run), "exact_t1": f"{score:.5f}", "commit": "abc", **numbers}
    curves = [
        {"run": name, "reward": "0.1 0.2", "cot_entropy": "1 2", "cot_length": "3 4"}
        for name, row in rows.items() if row["arm"] != "sft"
    ]  # fmt: skip
    start = {
        "task": MAIN,
        "warm_start": 0,
        "seed": 0,
        "weights": "00ff",
        "exact_t1": 0.4,
        "pass_at_k": 0.9,
        "greedy": 0.6,
    }
    folder.mkdir()
    write_csv(folder / "runs.csv", COLUMNS, list(rows.values()))
    write_csv(folder / "curves.csv", CURVE_COLUMNS, curves)
    write_csv(folder / "warm_starts.csv", WARM_START_COLUMNS, [start])
    return folder


def test_the_page_in_the_repository_is_the_one_that_the_csv_files_give(tmp_path):
    write_page(RESULTS, tmp_path / "study.md", tmp_path)
    assert (tmp_path / "study.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    for picture in tmp_path.glob("*.svg"):
        assert picture.read_text(encoding="utf-8") == (IMAGES / picture.name).read_text(encoding="utf-8"), picture.name


@pytest.mark.parametrize(
    ("runs", "expected", "unexpected"),
    [
        (0, ["interim", "0 of 336 runs", "nothing to compare"], ["## What came out", "## Over the tasks"]),
        (48, ["48 of 336 runs", "nothing to compare", "**0."], ["## What came out"]),
        (48 + 8 + 3, ["interim", "complete pairs: 1 of 16"], ["## What came out"]),
        (48 + 3 * 8, ["3 of 16", "**better**", "## Over the tasks"], ["## `sparse`"]),
        (336, ["The study is complete: 336", "**better**", "## `sparse`", "## `multi_turn`"], ["interim"]),
    ],
)
def test_the_page_of_what_is_finished(tmp_path, runs, expected, unexpected):
    results = made_up(tmp_path / "results", runs)
    write_page(results, tmp_path / "study.md", tmp_path / "images")
    text = (tmp_path / "study.md").read_text(encoding="utf-8")
    for words in expected:
        assert words in text
    for words in unexpected:
        assert words not in text
    pictures = re.findall(r"\(images/(\S+)\)", text)
    assert all((tmp_path / "images" / name).is_file() for name in pictures)
    assert len(pictures) == {0: 0, 48: 0, 59: 0, 72: 3, 336: 9}[runs]


def test_no_effect_is_equivalence_and_not_a_win(tmp_path):
    text = page_text(read_study(made_up(tmp_path / "results", 336, effect=0.0)), {})
    assert "`egpo_token` beside `grpo` on `single_turn`" in text
    assert re.search(r"`egpo_token` beside .*\*\*equivalent\*\*", text)


def test_a_block_with_a_failed_run_is_left_out_for_all_arms(tmp_path):
    results = made_up(tmp_path / "results", 48 + 4 * 8)
    text = (results / "runs.csv").read_text()
    name = next(line for line in text.splitlines() if line.startswith("fresh-single_turn-placebo") and "-s2," in line)
    (results / "runs.csv").write_text(text.replace(name, name + "boom"))
    study = read_study(results)
    assert study.pairs(MAIN) == [1, 3, 4]
    assert all(len(values) == 3 for values in study.scores(MAIN).values())
    assert "Runs that failed twice: fresh-single_turn-placebo" in page_text(study, {})


def test_figures_are_the_same_for_the_same_numbers(tmp_path):
    study = read_study(made_up(tmp_path / "results", 48 + 3 * 8))
    names = draw_figures(study, tmp_path / "a")
    assert draw_figures(study, tmp_path / "b") == names
    for name in names.values():
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_csv_files_hold_no_run_twice_and_only_runs_of_the_plan():
    study = read_study(RESULTS)
    lines = (RESULTS / "runs.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(lines) == len(study.rows)
    for row in study.rows.values():
        assert row["arm"] in ARMS
        assert row["stage"] == "tuning" or (row["task"], int(row["seed"])) in blocks()
    assert {row["task"] for row in study.rows.values()} <= set(TASKS)


def test_status_says_how_far_it_is(tmp_path, capsys):
    results = made_up(tmp_path / "results", 50)
    main(["--results", str(results), "--work", str(tmp_path / "work"), "status"])
    printed = capsys.readouterr().out
    assert "50 of 336 runs finished" in printed
    assert "next: fresh-single_turn-egpo_sequence" in printed
