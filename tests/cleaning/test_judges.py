"""Judges: a real server that fails in about 30 % of the requests in every way that servers do, and a model in this process."""

import asyncio
import json

import pytest

from egpo_trl.cleaning import CleaningConfig, CleaningStopped, clean
from egpo_trl.cleaning.judges import read_reply, response_format
from egpo_trl.cleaning.pipeline import make_judge
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.sampling.limits import Limits
from tests.cleaning.judge_server import FAULTS, JudgeServer
from tests.cleaning.test_pipeline import dropped_of, rows_of
from tests.cleaning.world_judge import Truth, corrupted_rows, no_unknown_function


def config(folder, server, **fields):
    return CleaningConfig(**{
        "output_dir": str(folder), "base_url": server.url, "model_name_or_path": "judge", "request_timeout": 1.0,
        "max_retries": 12, "max_response_bytes": 1_000_000, **fields,
    })  # fmt: skip


def test_thirty_percent_of_the_requests_fail(tmp_path):
    right, wrong = corrupted_rows(150)
    with JudgeServer(Truth(right), fault_share=0.3) as server:
        report = clean(config(tmp_path, server, output_format="jsonl"), wrong, evaluate_row=no_unknown_function)
    assert set(server.made) == set(FAULTS)
    assert 0.2 < sum(server.made.values()) / len(server.log) < 0.4
    assert [json.loads(row["reference"]) for row in rows_of(report)] == [json.loads(row["reference"]) for row in right]
    assert report.counts["llm"] == {"rows": 150, "corrected": 50, "dropped": {}}
    assert len(server.answered) == 200
    assert set(server.answered.values()) == {1}
    assert json.loads(report.manifest.read_text())["usage"]["requests"] == len(server.log)


def test_what_is_sent(tmp_path, monkeypatch):
    right, _ = corrupted_rows(1)
    monkeypatch.setenv("SECRET", "sesame")
    with JudgeServer(Truth(right)) as server:
        report = clean(
            config(tmp_path, server, api_key_env="SECRET", chat_template_kwargs='{"enable_thinking": false}'),
            right,
            evaluate_row=no_unknown_function,
        )
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["max_tokens"], body["seed"]) == ("judge", 0.0, 1024, 0)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["correct", "reason", "corrected"]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert right[0]["tools"] in body["messages"][1]["content"]
    assert response_format("none") is None
    assert response_format("json_object") == {"type": "json_object"}
    for file in tmp_path.iterdir():
        assert b"sesame" not in file.read_bytes()
    assert report.counts["ast"]["rows"] == 1


def test_retry_after_is_kept_to(tmp_path):
    right, _ = corrupted_rows(4)
    with JudgeServer(Truth(right), fault_share=1.0, faults=("429 with retry-after",)) as server:
        server.random.random = lambda: 0.0 if len(server.log) == 1 else 1.0
        clean(config(tmp_path, server, concurrency=1), right, evaluate_row=no_unknown_function)
    assert len(server.log) == 5
    assert server.times[1] - server.times[0] >= 0.05


def test_retries_never_exceed_the_budget(tmp_path):
    right, _ = corrupted_rows(20)
    with JudgeServer(Truth(right), fault_share=0.5, faults=("500", "closed", "non-JSON body")) as server:
        for _ in range(2):  # a second run spends nothing
            with pytest.raises(CleaningStopped, match=r"max_requests \(17\) is spent"):
                clean(config(tmp_path, server, max_requests=17), right, evaluate_row=no_unknown_function)
            assert len(server.log) == 17


def test_requests_per_minute(tmp_path):
    right, _ = corrupted_rows(5)
    with JudgeServer(Truth(right)) as server:
        clean(config(tmp_path, server, requests_per_minute=300), right, evaluate_row=no_unknown_function)
    assert server.times[-1] - server.times[0] >= 0.6  # 0.8 s as they are sent


@pytest.mark.parametrize(
    ("fault", "fields", "message"),
    [
        ("401", {}, r"takes no questions: row 0 .*status 401.*api_key_env"),
        ("404", {}, r"takes no questions: row 0 .*status 404"),
        ("400", {}, r"judge failed at row 0 .*status 400.*on_judge_failure: drop"),
        ("500", {"max_retries": 2}, r"judge failed at row 0 .*status 500"),
        ("time-out", {"max_retries": 1, "request_timeout": 0.1}, r"no answer within 0\.1 s"),
        ("drip", {"max_retries": 0, "request_timeout": 0.3}, r"no answer within 0\.3 s"),
        ("huge body", {"max_retries": 0}, r"longer than max_response_bytes \(1000000\)"),
        ("500 with a huge body", {"max_retries": 0}, r"longer than max_response_bytes \(1000000\)"),
        ("compressed", {"max_retries": 0}, r"the body is compressed"),
        ("closed", {"max_retries": 1}, r"connection failed"),
        ("429 with retry-after", {"max_retries": 1}, r"takes no questions.*Retry-After: 0\.05.*lower concurrency"),
    ],
)
def test_a_judge_that_fails_for_good(tmp_path, fault, fields, message):
    right, _ = corrupted_rows(3)
    with JudgeServer(Truth(right), fault_share=1.0, faults=(fault,), hang=0.3) as server:
        with pytest.raises(CleaningStopped, match=message) as stopped:
            clean(config(tmp_path, server, concurrency=1, **fields), right, evaluate_row=no_unknown_function)
        assert "0 of 3 rows are judged; run the same command again" in str(stopped.value)
        server.fault_share = 0.0
        report = clean(config(tmp_path, server, **fields), right, evaluate_row=no_unknown_function)
    assert report.counts["ast"]["rows"] == 3


def test_rows_that_the_judge_rejects_can_be_dropped(tmp_path):
    right, _ = corrupted_rows(3)
    with JudgeServer(Truth(right), fault_share=1.0, faults=("422",)) as server:
        report = clean(config(tmp_path, server, on_judge_failure="drop"), right, evaluate_row=no_unknown_function)
    assert report.counts["llm"]["dropped"] == {"judge_failed": 3}
    assert "status 422" in dropped_of(report)[0]["detail"]
    with JudgeServer(Truth(right), fault_share=1.0, faults=("401",)) as server, pytest.raises(CleaningStopped):
        clean(config(tmp_path / "b", server, on_judge_failure="drop"), right, evaluate_row=no_unknown_function)


def test_nobody_listens(tmp_path):
    right, _ = corrupted_rows(2)
    with JudgeServer(Truth(right)) as server:
        pass
    with pytest.raises(CleaningStopped, match="connection failed"):
        clean(config(tmp_path, server, max_retries=1), right, evaluate_row=no_unknown_function)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{}", b'{"choices": {}}', b'{"choices": [1]}', b'{"choices": [{"message": []}]}',
        b'{"choices": [{"message": {"content": ["a"]}}]}', b"[" * 100_000, b"1" * 100_000, b"\xff\xfe\x00",
    ],
    ids=range(11),
)  # fmt: skip
def test_hostile_bodies(body):
    with pytest.raises(ValueError, match=r"^the (body is not|completion contains no text)"):
        read_reply(body)


def test_tokens_are_counted_by_the_server_or_estimated(tmp_path):
    def body(usage):
        return json.dumps({"choices": [{"message": {"content": "x" * 30}}], "usage": usage}).encode()

    assert read_reply(body({"total_tokens": 7})) == ("x" * 30, 7)
    for usage in (None, {}, {"total_tokens": True}, {"total_tokens": -1}, {"total_tokens": "7"}, []):
        assert read_reply(body(usage)) == ("x" * 30, None)
    right, _ = corrupted_rows(1)
    with JudgeServer(Truth(right)) as server:
        judge = make_judge(config(tmp_path, server), Limits())

        async def ask():
            reply = await judge.ask([{"role": "user", "content": "?" * 270}], 0)
            await judge.close()
            return reply

        server.body_for = lambda _: body(None)
        server.question = lambda _: ""
        assert asyncio.run(ask()).tokens == 100


def test_missing_key(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    fields = {"output_dir": str(tmp_path), "model_name_or_path": "judge"}
    with pytest.raises(ValueError, match="api_key_env: the environment variable OPENAI_API_KEY is not set"):
        clean(CleaningConfig(**fields), corrupted_rows(1)[0], evaluate_row=no_unknown_function)
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(ValueError, match=r"pip install 'egpo-trl\[judge\]'"):
        clean(CleaningConfig(**fields), corrupted_rows(1)[0], evaluate_row=no_unknown_function)


def local_config(folder, **fields):
    return CleaningConfig(**{
        "output_dir": str(folder), "backend": "transformers", "model_name_or_path": str(demo_policy_path()),
        "max_completion_length": 8, "max_retries": 0, "batch_size": 3, **fields,
    })  # fmt: skip


def test_a_model_in_this_process_answers_in_batches(tmp_path, monkeypatch):
    judge = make_judge(local_config(tmp_path), Limits())
    sizes = []
    sample = judge._sampler.sample
    monkeypatch.setattr(judge._sampler, "sample", lambda asked: sizes.append(len(asked)) or sample(asked))

    async def ask():
        questions = [[{"role": "user", "content": f"Set a timer for {n} minutes."}] for n in range(3, 10)]
        replies = await asyncio.gather(*(judge.ask(question, 0) for question in questions))
        alone = await judge.ask(questions[0], 0)
        await judge.close()
        return replies, alone

    replies, alone = asyncio.run(ask())
    assert sizes == [3, 3, 1, 1]
    assert alone == replies[0]
    assert all(reply.tokens > 0 for reply in replies)


def test_a_model_that_gives_no_verdicts(tmp_path):
    rows, _ = corrupted_rows(3)
    system, user = tmp_path / "system.txt", tmp_path / "user.txt"
    system.write_text("Judge.")
    user.write_text("$conversation $tools $answer")
    files = {"system_prompt_file": str(system), "user_prompt_file": str(user)}
    report = clean(local_config(tmp_path / "out", **files), rows, evaluate_row=lambda row: None)
    assert report.counts["llm"]["dropped"] == {"invalid_verdict": 3}


def test_questions_that_are_too_long(tmp_path):
    rows, _ = corrupted_rows(1)
    with pytest.raises(CleaningStopped, match="exceed the model's context"):
        clean(local_config(tmp_path, max_completion_length=1000), rows, evaluate_row=lambda row: None)
