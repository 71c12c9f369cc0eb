"""Rows through both stages, and what comes out."""

import contextlib
import json
import sys
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from egpo_trl.cleaning import CleaningConfig, CleaningStopped, Reply, clean
from egpo_trl.data.loading import load_rows
from egpo_trl.data.rows import check_rows
from egpo_trl.demo.world import make_rows
from egpo_trl.sampling.errors import EndpointError, EndpointUnavailable, RejectedRequest
from tests.cleaning.world_judge import ScriptedJudge, Truth, corrupted_rows, no_unknown_function, verdict_text


def rows_of(report):
    if report.rows.suffix == ".jsonl":
        return [json.loads(line) for line in report.rows.read_text().splitlines()]
    return pq.read_table(report.rows).to_pylist()


def dropped_of(report):
    return [json.loads(line) for line in report.dropped.read_text().splitlines()]


def run(folder, rows, judge=None, evaluate_row=no_unknown_function, **fields):
    config = CleaningConfig(output_dir=str(folder), **{"backend": "none", "fsync": "never", **fields})
    return clean(config, rows, judge, evaluate_row)


class FixedJudge(ScriptedJudge):
    """Gives the replies of a list, in order."""

    def __init__(self, *replies):
        super().__init__(Truth([]))
        self.replies = list(replies)
        self.seeds = []

    async def ask(self, messages, seed):
        self.seeds.append(seed)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Reply(reply, 10)


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
def test_wrong_references_are_corrected(tmp_path, output_format):
    right, wrong = corrupted_rows(30)
    judge = ScriptedJudge(Truth(right))
    report = run(tmp_path, Dataset.from_list(wrong), judge, output_format=output_format)
    cleaned = rows_of(report)
    assert [json.loads(row["reference"]) for row in cleaned] == [json.loads(row["reference"]) for row in right]
    assert [row["id"] for row in cleaned] == [row["id"] for row in right]
    assert cleaned[1]["kind"] == right[1]["kind"]
    assert report.counts["llm"] == {"rows": 30, "corrected": 10, "dropped": {}}
    assert report.counts["ast"]["rows"] == 30
    assert set(judge.asked.values()) == {1}
    assert sum(judge.asked.values()) == 40
    assert judge.closed
    check_rows(load_rows(str(report.rows)), "cleaned", ["prompt", "tools", "reference"])


def test_manifest_and_journal(tmp_path):
    right, wrong = corrupted_rows(9)
    report = run(tmp_path, wrong, ScriptedJudge(Truth(right)))
    manifest = json.loads(report.manifest.read_text())
    assert manifest["input"]["rows"] == 9
    assert len(manifest["input"]["sha256"]) == 64
    assert manifest["counts"] == report.counts
    assert manifest["usage"] == {"requests": 12, "tokens": 120}
    assert manifest["config"]["max_regenerations"] == 3
    assert "egpo-trl" in manifest["versions"]
    header, *records = map(json.loads, (tmp_path / "journal.jsonl").read_text().splitlines())
    assert header["input"] == manifest["input"]["sha256"]
    last = {record["row"]: record for record in records}
    assert len(last) == 9
    assert last[6]["outcome"] == "corrected"
    assert [a["correct"] for a in last[6]["attempts"]] == [False, True]
    assert last[6]["attempts"][0]["corrected"] == json.loads(right[6]["reference"])
    assert last[6]["attempts"][0]["reason"] == "the call is wrong"
    assert last[1]["outcome"] == "kept"


def test_three_regenerations_then_dropped(tmp_path):
    right, _ = corrupted_rows(1)
    wrong = verdict_text(False, [{"name": "f", "arguments": {}}], "no")
    report = run(tmp_path / "a", right, FixedJudge(wrong, wrong, wrong, wrong))
    assert report.counts["llm"] == {"rows": 0, "corrected": 0, "dropped": {"not_corrected": 1}}
    (dropped,) = dropped_of(report)
    assert (dropped["stage"], dropped["reason"], dropped["detail"]) == ("llm", "not_corrected", "no")
    assert dropped["reference"] == right[0]["reference"]
    assert rows_of(report) == []
    third = run(
        tmp_path / "b", right, FixedJudge(wrong, wrong, wrong, verdict_text(True)), evaluate_row=lambda row: None
    )
    assert third.counts["llm"] == {"rows": 1, "corrected": 1, "dropped": {}}
    none = run(tmp_path / "c", right, FixedJudge(wrong), max_regenerations=0)
    assert none.counts["llm"]["dropped"] == {"not_corrected": 1}


def test_a_row_without_a_right_answer(tmp_path):
    right, _ = corrupted_rows(1)
    report = run(tmp_path, right, FixedJudge(verdict_text(False, None, "makes no sense")))
    assert report.counts["llm"]["dropped"] == {"no_correction": 1}


def test_a_correction_to_text_keeps_the_text(tmp_path):
    right, _ = corrupted_rows(2)
    judge = FixedJudge(verdict_text(False, "Which city?"), verdict_text(True), verdict_text(True))
    report = run(tmp_path, right, judge, concurrency=1)
    first, second = rows_of(report)
    assert (first["reference"], first["answer"]) == ("[]", "Which city?")
    assert second["answer"] is None


def test_the_text_of_a_converted_row_is_judged_and_corrected(tmp_path):
    """Conversion, judge, output: the text goes all the way, and comes back corrected."""
    from egpo_trl.data.sources import convert
    from tests.data.sources.test_messages import RECORD

    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(RECORD))
    with (tmp_path / "rows.jsonl").open("w") as rows:
        rows.writelines(json.dumps(row) + "\n" for row in convert(str(file), "messages"))
    shown = []

    class Reader(FixedJudge):
        async def ask(self, messages, seed):
            shown.append(messages[-1]["content"])
            return await super().ask(messages, seed)

    replies = [
        verdict_text(True),
        verdict_text(False, "3 and 8."),
        verdict_text(True),
        verdict_text(True),
        verdict_text(True),
    ]
    report = run(
        tmp_path / "out",
        None,
        Reader(*replies),
        evaluate_row=None,
        concurrency=1,
        dataset_name=str(tmp_path / "rows.jsonl"),
    )
    assert "<answer>\n(text, no call) 3 and 7.\n</answer>" in shown[1]
    assert "<answer>\n(text, no call) 3 and 8.\n</answer>" in shown[2]
    cleaned = load_rows(str(report.rows))
    assert cleaned["answer"] == [None, "3 and 8.", None, "11"]
    assert report.counts["llm"]["corrected"] == 1
    check_rows(cleaned, "cleaned", ["prompt", "tools", "reference", "answer"])


def test_an_answer_that_is_no_text_is_malformed(tmp_path):
    right, _ = corrupted_rows(2)
    report = run(tmp_path, [{**right[0], "answer": 3}, {**right[1], "answer": "x"}])
    assert report.counts["form"]["dropped"] == {"malformed_answer": 1}


def test_replies_that_are_no_verdicts(tmp_path):
    right, _ = corrupted_rows(1)
    judge = FixedJudge("so what", '{"correct": 1}', verdict_text(True))
    assert run(tmp_path / "a", right, judge).counts["llm"]["rows"] == 1
    assert judge.seeds == [0, 1, 2]  # another seed each time, or a deterministic judge would say the same again
    report = run(tmp_path / "b", right, FixedJudge("a", "b", "c"), max_retries=2)
    assert report.counts["llm"]["dropped"] == {"invalid_verdict": 1}
    assert "not JSON" in dropped_of(report)[0]["detail"]


def test_a_call_in_a_text_is_asked_for_again(tmp_path):
    row = next(row for row in corrupted_rows(30)[0] if len(json.loads(row["reference"])) == 1)
    (call,) = json.loads(row["reference"])
    text = f"{call['name']}({', '.join(f'{key}={value!r}' for key, value in call['arguments'].items())})"
    judge = FixedJudge(verdict_text(False, f"Sure: {text}"), verdict_text(True))
    (row,) = rows_of(run(tmp_path, [row], judge))
    assert (json.loads(row["reference"]), row["answer"]) == ([call], None)
    assert judge.seeds == [0, 1]


def test_ast_only_and_malformed_rows(tmp_path):
    right, _ = corrupted_rows(5)
    right[1]["reference"] = '[{"name": "launch_rocket", "arguments": {}}]'
    right[2]["reference"] = "[{]"
    right[3]["prompt"] = []
    report = run(tmp_path, right, output_format="jsonl")
    assert report.counts == {
        "input": {"rows": 5, "corrected": 0, "dropped": {}},
        "form": {"rows": 3, "corrected": 0, "dropped": {"malformed_prompt": 1, "malformed_reference": 1}},
        "selection": {"rows": 3, "corrected": 0, "dropped": {}},
        "ast": {"rows": 2, "corrected": 0, "dropped": {"unknown_function": 1}},
    }
    assert not (tmp_path / "journal.jsonl").exists()
    assert {row["reason"] for row in dropped_of(report)} == set().union(
        *(c["dropped"] for c in report.counts.values())
    )
    off = run(tmp_path / "off", right, output_format="jsonl", ast_evaluation=False, drop_duplicates=False)
    assert off.counts.keys() == {"input", "form"}


def test_duplicates_and_leaks_are_dropped_before_the_judge_is_asked(tmp_path):
    right, _ = corrupted_rows(6)
    rows = [*right, {**right[2], "id": "again", "reference": "[]"}, right[4]]
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"id": "q7", "prompt": right[4]["prompt"]}))
    judge = ScriptedJudge(Truth(right))
    fields = {"benchmark_questions": str(questions), "leak_min_words": 1, "leak_threshold": 1.0}
    report = run(tmp_path / "a", rows, judge, **fields)
    assert sum(judge.asked.values()) == 5
    assert report.counts["selection"] == {"rows": 5, "corrected": 0, "dropped": {"benchmark_leak": 2, "duplicate": 1}}
    assert report.counts["ast"]["rows"] == 5
    dropped = [(row["id"], row["stage"], row["reason"], row["detail"]) for row in dropped_of(report)]
    leak = (right[4]["id"], "selection", "benchmark_leak", "question q7 (similarity 1.00)")
    assert dropped == [leak, ("again", "selection", "duplicate", None), leak]
    with pytest.raises(ValueError, match=r"benchmark_questions: .*there is no file"):
        run(tmp_path / "b", rows, benchmark_questions="none.jsonl")
    kept = run(tmp_path / "c", rows, drop_duplicates=False)
    assert kept.counts["ast"]["rows"] == 8


def test_whether_a_call_is_needed(tmp_path):
    rows, _ = corrupted_rows(12)
    texts = sum(row["reference"] == "[]" for row in rows)
    assert 0 < texts < 12
    for index, row in enumerate(rows):
        row["needed"] = None if index else row["reference"] == "[]"
    dropped = {
        value: run(tmp_path / value, rows, evaluate_row=None, call_needed=value).counts["ast"]["dropped"]
        for value in ("always", "never", "needed")
    }
    first = "call_needed" if rows[0]["reference"] == "[]" else "call_not_needed"
    assert dropped == {
        "always": {"call_needed": texts},
        "never": {"call_not_needed": 12 - texts},
        "needed": {first: 1},
    }
    with pytest.raises(ValueError, match="'never' or a column of the rows, got 'neede'"):
        run(tmp_path / "x", rows, evaluate_row=None, call_needed="neede")
    rows[5]["needed"] = "yes"
    with pytest.raises(ValueError, match=r"call_needed: row 5 .*must be true, false or null, got 'yes'"):
        run(tmp_path / "x", rows, evaluate_row=None, call_needed="needed")
    with pytest.raises(ValueError, match="not by one of your own"):
        run(tmp_path / "x", rows, call_needed="always")


def test_the_ast_evaluation_of_the_package_is_the_default(tmp_path, monkeypatch):
    module = SimpleNamespace(
        evaluate_row=lambda row, call_needed=None: "unwanted" if row["kind"] == "no tool" else None
    )
    monkeypatch.setitem(sys.modules, "egpo_trl.data.ast_evaluation", module)
    rows, _ = corrupted_rows(12)
    dropped = run(tmp_path, rows, evaluate_row=None).counts["ast"]["dropped"]
    assert dropped == {"unwanted": sum(row["kind"] == "no tool" for row in rows)}


def test_summary(tmp_path, capsys):
    right, wrong = corrupted_rows(9)
    right[4]["reference"] = wrong[4]["reference"] = '[{"name": "launch_rocket", "arguments": {}}]'
    run(tmp_path, wrong, ScriptedJudge(Truth(right))).print()
    shown = capsys.readouterr().out
    for words in (
        "Input",
        "After LLM evaluation",
        "After AST evaluation",
        "unknown_function",
        "88.89 %",
        "manifest.json",
    ):
        assert words in shown


def test_budget_ends_the_run_and_a_larger_one_goes_on(tmp_path):
    right, wrong = corrupted_rows(30)
    judge = ScriptedJudge(Truth(right))
    with pytest.raises(CleaningStopped, match=r"max_requests \(25\) is spent.*\n.*of 30 rows are judged"):
        run(tmp_path, wrong, judge, max_requests=25, concurrency=4)
    assert sum(judge.asked.values()) == 25
    assert not (tmp_path / "manifest.json").exists()
    with pytest.raises(CleaningStopped, match=r"max_total_tokens \(300\) is spent"):
        run(tmp_path, wrong, judge, max_total_tokens=300, concurrency=4)
    assert sum(judge.asked.values()) == 30
    report = run(tmp_path, wrong, judge, max_requests=40)
    assert report.counts["llm"]["corrected"] == 10
    assert set(judge.asked.values()) == {1}
    run(tmp_path, wrong, judge)
    assert sum(judge.asked.values()) == 40


class BrokenJudge(ScriptedJudge):
    """Fails in one way, and knows how often it was asked."""

    def __init__(self, failure):
        super().__init__(Truth([]))
        self.failure, self.requests = failure, 0

    async def ask(self, messages, seed):
        self.requests += 1
        if isinstance(self.failure, str):
            return Reply(self.failure, 10)
        raise self.failure


@pytest.mark.parametrize(
    "failure",
    [
        EndpointError("503"),
        RejectedRequest("400"),
        EndpointUnavailable("401"),
        RuntimeError("bug"),
        "so what",
    ],
)
def test_the_budget_holds_over_resumptions_of_runs_that_stop_by_themselves(tmp_path, failure):
    """Each run asks a few questions that lead to no verdict and ends; all of them count."""
    right, _ = corrupted_rows(40)
    judge = BrokenJudge(failure)
    fields = {"max_requests": 30, "max_retries": 2, "concurrency": 2}
    for _ in range(30):
        with contextlib.suppress(CleaningStopped, RuntimeError):
            run(tmp_path, right, judge, **fields)
    assert judge.requests == 30
    with pytest.raises(CleaningStopped, match=r"max_requests \(30\) is spent"):
        run(tmp_path, right, judge, **fields)
    judge = ScriptedJudge(Truth(right))
    report = run(tmp_path, right, judge, max_requests=70)
    assert json.loads(report.manifest.read_text())["usage"]["requests"] == 30 + sum(judge.asked.values())


def test_an_interruption_counts_what_was_asked(tmp_path):
    right, _ = corrupted_rows(10)

    class Interrupted(ScriptedJudge):
        async def ask(self, messages, seed):
            if sum(self.asked.values()) == 4:
                raise KeyboardInterrupt
            return await super().ask(messages, seed)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, right, Interrupted(Truth(right)), concurrency=1)
    judge = ScriptedJudge(Truth(right))
    report = run(tmp_path, right, judge)
    assert sum(judge.asked.values()) == 6
    assert json.loads(report.manifest.read_text())["usage"]["requests"] == 11


def test_a_journal_of_another_run_is_an_error(tmp_path):
    right, wrong = corrupted_rows(6)
    judge = ScriptedJudge(Truth(right))
    run(tmp_path, wrong, judge)
    with pytest.raises(ValueError, match=r"belongs to another run: max_regenerations was 3 and is 2"):
        run(tmp_path, wrong, judge, max_regenerations=2)
    with pytest.raises(ValueError, match=r"belongs to another run: input was"):
        run(tmp_path, right, judge)
    judge.identity = {"judge": "another"}
    with pytest.raises(ValueError, match=r"judge was 'scripted' and is 'another'"):
        run(tmp_path, wrong, judge)


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="is empty"):
        run(tmp_path, [])
    with pytest.raises(ValueError, match="not a generator"):
        run(tmp_path, iter([{}]))
    with pytest.raises(ValueError, match="model_name_or_path must name"):
        run(tmp_path, corrupted_rows(2)[0], backend="openai")


def test_parquet_keeps_arguments_of_calls_in_prompts(tmp_path):
    right, _ = corrupted_rows(3)
    for index, row in enumerate(right):
        call = {"type": "function", "function": {"name": "f", "arguments": {f"a{index}": index}}}
        row["prompt"] = [*row["prompt"], {"role": "assistant", "content": "", "tool_calls": [call]}]
    report = run(tmp_path, right, evaluate_row=lambda row: None)
    loaded = load_rows(str(report.rows))
    assert [row["prompt"] for row in loaded] == [row["prompt"] for row in right]
    right[2]["more"] = 1
    with pytest.raises(ValueError, match=r"rows differ in form \(not all rows have the column 'more'\); use jsonl"):
        run(tmp_path, right, evaluate_row=lambda row: None)
    assert len(rows_of(run(tmp_path, right, evaluate_row=lambda row: None, output_format="jsonl"))) == 3


def test_an_error_in_the_evaluation_leaves_no_half_output(tmp_path):
    right, _ = corrupted_rows(4)

    def broken(row):
        if row["id"] == right[2]["id"]:
            raise KeyError("broken")
        return None

    with pytest.raises(KeyError):
        run(tmp_path, right, evaluate_row=broken)
    assert list(tmp_path.iterdir()) == []


def test_inside_a_running_loop(tmp_path):
    import asyncio

    right, wrong = corrupted_rows(6)

    async def cell():
        return run(tmp_path, wrong, ScriptedJudge(Truth(right)))

    assert asyncio.run(cell()).counts["llm"]["corrected"] == 2


def test_a_run_without_a_judge_does_not_replace_what_a_judge_said(tmp_path):
    rows = make_rows(4)
    clean(CleaningConfig(output_dir=str(tmp_path), backend="none"), rows=rows)
    clean(CleaningConfig(output_dir=str(tmp_path), backend="none"), rows=rows)
    (tmp_path / "journal.jsonl").write_text("{}\n")
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds the verdicts of a judge.*Name another output_dir"):
        clean(CleaningConfig(output_dir=str(tmp_path), backend="none"), rows=rows)
    assert (tmp_path / "manifest.json").read_bytes() == before
