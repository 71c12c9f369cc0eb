"""The suite: rows, the strict share beside the official score, samples that cannot be judged, and its options."""

import json
from dataclasses import replace

import pytest

from egpo_trl.evaluation.bfcl.sandbox import OfficialError, SandboxFailure
from egpo_trl.evaluation.bfcl.suite import BFCL
from egpo_trl.evaluation.records import Sample
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.sampler import PromptFormat
from tests.conftest import trl_template
from tests.evaluation.bfcl.gold import begin, drive, gold_texts, hermes


def by_id(suite):
    return {item.id: item for item in suite.items()}


def results_of(folder, category, group="non_live", model="egpo-trl"):
    file = folder / "result" / model / group / f"BFCL_v4_{category}_result.json"
    return {entry["id"]: entry for entry in map(json.loads, file.read_text().splitlines())}


def test_rows_are_canonical(entries):
    suite = begin(categories="simple_java,live_multiple,live_relevance,irrelevance", max_per_category=5)
    for item in suite.items():
        assert item.category == item.id.rsplit("_", 1)[0]
        assert [message["content"] for message in item.row["prompt"]] == [
            message["content"] for message in entries[item.id]["question"][0] if message["content"].strip()
        ]
        tools = json.loads(item.row["tools"])
        assert [tool["type"] for tool in tools] == ["function"] * len(tools)
        described = [tool["function"]["description"] for tool in tools]
        language = "Java 8 SDK" if item.category == "simple_java" else "Python 3"
        assert all(text.endswith(f"is in {language} syntax.") for text in described)
    java = next(item for item in suite.items() if item.category == "simple_java")
    properties = json.loads(java.row["tools"])[0]["function"]["parameters"]["properties"]
    assert {schema["type"] for schema in properties.values()} == {"string"}
    suite._sandbox.close()


def test_the_official_prompt():
    suite = begin(categories="simple_python", max_per_category=1, benchmark_prompt="official")
    (item,) = suite.items()
    assert item.row["prompt"].startswith("<|im_start|>system\n# Tools\n\nYou may call one or more functions")
    assert item.row["prompt"].endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert '"type": "dict"' in item.row["prompt"]
    suite._sandbox.close()


THOUGHT = "<think>\nA triangle.\n</think>\n\n"
RIGHT = hermes([("calculate_triangle_area", {"base": 10, "height": 5})])
CASES = {  # text: official, strict, reason of the strict view; think block required
    f"{THOUGHT}{RIGHT}": (1, 1, "correct"),
    RIGHT: (1, 0, "no_think_block"),
    f"{THOUGHT}Sure.\n{RIGHT}": (1, 0, "text_beside_calls"),
    f"{THOUGHT}{RIGHT}\n<tool_call>\n{{broken\n</tool_call>": (1, 0, "malformed_call"),
    f"{THOUGHT}{RIGHT.replace('>' + chr(10), '>')}": (0, 1, "correct"),  # no new line: nothing to the official handler
    f"{THOUGHT}Ten.": (0, 0, "text_instead_of_call"),
    f"<think>\n{RIGHT}\n</think>\n\nTen.": (0, 0, "text_instead_of_call"),
}


@pytest.mark.parametrize(("text", "official", "strict", "reason"), [(t, *rest) for t, rest in CASES.items()])
def test_the_strict_share_beside_the_official_score(tmp_path, text, official, strict, reason, suite):
    (item,) = suite.items()
    (scored,) = suite.score([drive(suite, item, [text])], tmp_path)
    assert scored.score == official
    (line,) = (tmp_path / "strict.jsonl").read_text().splitlines()
    assert json.loads(line) == {"id": item.id, "sample": 0, "score": strict, "reason": reason}
    summary = suite.summarize([scored])
    assert summary.extra["strict"] == {"simple_python": strict}
    assert any("Strict share" in note and f"simple_python {100 * strict:.1f} %" in note for note in summary.notes)


@pytest.fixture(scope="module")
def suite():
    suite = begin(categories="simple_python", max_per_category=1)
    suite.items()
    yield suite
    suite._sandbox.close()


def test_a_truncated_text_is_no_strict_text(tmp_path):
    suite = begin(categories="irrelevance", max_per_category=1, thinking="optional")
    (item,) = suite.items()
    for finish_reason, strict in (("stop", 1.0), ("length", 0.0)):
        sample = Sample(item, 0, (Completion("No function", finish_reason=finish_reason),))
        (scored,) = suite.score([sample], tmp_path)
        assert scored.score == 1.0  # the official checker does not look
        assert json.loads((tmp_path / "strict.jsonl").read_text())["score"] == strict


def test_relevance_and_java_in_the_strict_view(tmp_path, entries, plain_entries):
    suite = begin(categories="live_relevance,simple_java", max_per_category=2, thinking="optional")
    items = suite.items()
    right = [drive(suite, i, gold_texts(entries[i.id], plain_entries[i.id], hermes)) for i in items]
    assert [one.score for one in suite.score(right, tmp_path)] == [1.0] * 4
    assert suite.summarize(suite.score(right, tmp_path)).extra["strict"] == {"simple_java": 1.0, "live_relevance": 1.0}
    wrong = [drive(suite, i, ["Nothing."]) for i in items]
    assert [one.score for one in suite.score(wrong, tmp_path)] == [0.0] * 4
    assert suite._strict == {"simple_java": [0.0, 0.0], "live_relevance": [0.0, 0.0]}


def test_what_was_not_sampled_is_worth_0_and_left_out_of_the_official_files(tmp_path):
    suite = begin(categories="irrelevance", max_per_category=3)
    items = suite.items()
    given = [
        Completion("No."),
        Completion("", finish_reason="prompt_too_long"),
        Completion("no", finish_reason="error"),
    ]
    samples = [Sample(item, 0, (completion,)) for item, completion in zip(items, given, strict=True)]
    samples.append(Sample(items[0], 1, (Completion("No."),), failure="ValueError: x"))
    scored = suite.score(samples, tmp_path)
    assert [(one.score, one.reason) for one in scored] == [
        (1.0, "correct"), (0.0, "prompt_too_long"), (0.0, "error"), (0.0, "conversation_failed"),
    ]  # fmt: skip
    assert list(results_of(tmp_path, "irrelevance")) == [items[0].id]
    notes = suite.summarize(scored[:3]).notes
    assert any("1 prompt_too_long, 1 error, 1 conversation_failed" in note for note in notes)


def test_several_samples_have_files_of_their_own(tmp_path, suite):
    (item,) = suite.items()
    scored = suite.score([drive(suite, item, [text], number) for number, text in enumerate((RIGHT, "No."))], tmp_path)
    assert [(one.sample, one.score) for one in scored] == [(0, 1.0), (1, 0.0)]
    assert results_of(tmp_path, "simple_python")[item.id]["result"] == RIGHT
    assert results_of(tmp_path, "simple_python", model="egpo-trl-sample-1")[item.id]["result"] == "No."
    header = (
        (tmp_path / "score/egpo-trl-sample-1/non_live/BFCL_v4_simple_python_score.json").read_text().splitlines()[0]
    )
    assert json.loads(header) == {"accuracy": 0.0, "correct_count": 0, "total_count": 1}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SandboxFailure("timeout"), "sandbox_timeout"), (OfficialError("KeyError: 'x'"), "official_error")],
)
def test_official_code_that_fails_is_worth_0(tmp_path, monkeypatch, suite, error, reason):
    (item,) = suite.items()
    ask = suite._sandbox.ask

    def fail(do, **arguments):
        if do == "score":
            raise error
        return ask(do, **arguments)

    monkeypatch.setattr(suite._sandbox, "ask", fail)
    (scored,) = suite.score([drive(suite, item, [RIGHT])], tmp_path)
    assert (scored.score, scored.reason) == (0.0, reason)
    assert results_of(tmp_path, "simple_python")[item.id]["result"] == RIGHT


def test_syntaxes_that_no_official_handler_reads_are_written_anew(tmp_path, qwen3_tokenizer):
    tokenizer = type(qwen3_tokenizer)(tokenizer_object=qwen3_tokenizer._tokenizer, eos_token="<|im_end|>")
    tokenizer.chat_template = trl_template("llama3_2")
    suite = BFCL(categories="simple_python,multi_turn_base", max_per_category=1, registry_name="meta/llama")
    suite.begin(PromptFormat(tokenizer=tokenizer))
    assert suite._reward.syntax == "json"
    assert suite._sandbox.handler == "fc"
    single, several = suite.items()
    call = {"name": "calculate_triangle_area", "parameters": {"base": 10, "height": 5}}
    step = json.dumps({"name": "ls", "parameters": {}})
    samples = [drive(suite, single, [json.dumps(call)]), drive(suite, several, [step, "Done."])]
    scored = suite.score(samples, tmp_path)
    assert scored[0].score == 1.0
    assert results_of(tmp_path, "simple_python", model="meta_llama")[single.id]["result"] == RIGHT
    turns = results_of(tmp_path, "multi_turn_base", "multi_turn", "meta_llama")[several.id]["result"]
    assert turns[0] == [hermes([("ls", {})]), "Done."]


def test_the_handler_follows_the_prompts(qwen3_tokenizer):
    handlers = {}
    for style, options in (("native", {}), ("paper", {}), ("native", {"benchmark_prompt": "official"})):
        suite = BFCL(categories="irrelevance", **options)
        suite.begin(PromptFormat(style=style, tokenizer=qwen3_tokenizer))
        handlers[style, *options] = (suite._sandbox.handler, suite._reward.syntax)
    assert handlers == {
        ("native",): ("fc", "hermes"), ("paper",): ("prompting", "pythonic"), ("native", "benchmark_prompt"): ("fc", "hermes"),
    }  # fmt: skip


def test_the_table_says_what_it_stands_for(suite, tmp_path, entries):
    everything = begin(categories="all", max_per_category=1)
    scored = [
        replace(one, score=1.0)
        for one in everything.score([drive(everything, i, ["No."]) for i in everything.items()], tmp_path)
    ]
    text = everything.summarize(scored).markdown()
    assert "| **v3 overall** | 17 | 100.0 |" in text
    assert "The official command counts them as 0, which makes 60.00 overall." in text
    assert "A subset: at most 1 entries of each category, even" in text
    assert "official checkers of bfcl-eval 2026.3.23, handler `fc`; prompts rendered as in training" in text


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"categories": "web_search"}, "categories: 'web_search' is unknown"),
        ({"subset": "first"}, "subset must be one of"),
        ({"benchmark_prompt": "qwen"}, "benchmark_prompt must be one of"),
        ({"bfcl_handler": "json"}, "bfcl_handler must be one of"),
        ({"thinking": "maybe"}, "thinking must be one of"),
        ({"max_per_category": 0}, "max_per_category must be at least 1"),
        ({"registry_name": "my_model"}, "registry_name must be a name without '_'"),
        ({"registry_name": "../x"}, "registry_name must be"),
    ],
)
def test_wrong_options(options, error):
    with pytest.raises(ValueError, match=error):
        BFCL(**options)


def test_the_official_prompt_has_no_style():
    with pytest.raises(ValueError, match="leave one of the two at its default"):
        BFCL(benchmark_prompt="official").begin(PromptFormat(style="paper"))
