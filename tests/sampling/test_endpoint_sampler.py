"""A model behind a real server that fails in every way that servers do."""

import asyncio
import json
import socket
import time

import pytest
from transformers import AutoTokenizer

from egpo_trl.cli import main
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.evaluation.row_suites import DemoSuite
from egpo_trl.sampling.config import EvaluationConfig
from egpo_trl.sampling.endpoint_sampler import EndpointSampler
from egpo_trl.sampling.rendering import PromptRenderer
from egpo_trl.sampling.sampler import PromptFormat, Request, SamplingStopped
from tests.evaluation.fakes import CountingSuite
from tests.sampling.completion_server import CompletionServer

FAULTS = (
    "429 with retry-after", "429", "500", "503", "time-out", "drip", "closed", "truncated body", "non-JSON body",
    "no choices", "no text", "huge body", "500 with a huge body", "compressed",
)  # fmt: skip


def config(server, folder="out", **fields):
    return EvaluationConfig(**{
        "model_name_or_path": "served", "output_dir": str(folder), "backend": "openai", "base_url": server.url,
        "request_timeout": 1.0, "max_retries": 12, "max_response_bytes": 1_000_000, **fields,
    })  # fmt: skip


def right_answer(rows):
    answers = {row["prompt"][0]["content"]: json.loads(row["reference"]) for row in rows}

    def answer(body):
        calls = answers[body["messages"][-1]["content"]]
        blocks = "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)
        return f"<think>easy</think>\n\n{blocks or 'There is no tool for that.'}"

    return answer


def test_thirty_percent_of_the_requests_fail(tmp_path):
    rows = make_rows(100, split="test")
    with CompletionServer(right_answer(rows), fault_share=0.3, faults=FAULTS, hang=2.3) as server:
        options = config(server, tmp_path, request_timeout=2.0)  # room for a busy machine
        done = evaluate(DemoSuite(num_demo_rows=100), options)
        assert done.summary.rows[-1].score == pytest.approx(1.0)
        assert len(server.made) >= 9
        assert sum(server.answered.values()) == 100  # nothing twice
        requests = len(server.log)
        evaluate(DemoSuite(num_demo_rows=100), options)
        assert len(server.log) == requests


def test_what_is_sent_and_what_comes_back(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "sesame")
    row = make_rows(1)[0]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    parsed = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]}
    nothing = {"role": "assistant", "content": None}
    answers = iter(["plain", parsed, "cut", {"role": "assistant", "content": "text", "tool_calls": []}, nothing])
    with CompletionServer(lambda body: next(answers)) as server:
        sampler = EndpointSampler(
            config(
                server,
                api_key_env="SECRET",
                temperature=0.7,
                top_p=0.9,
                top_k=20,
                max_completion_length=50,
                concurrency=1,
                chat_template_kwargs='{"enable_thinking": true}',
                tool_choice="none",
            )
        )
        history = [
            {"role": "user", "content": "?", "tool_calls": None},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "1", "tool_call_id": "c"},
        ]
        requests = [Request({**row, "prompt": history, "tools": "[]"}, 2), *(Request(row, n) for n in (5, 6, 7, 8))]
        found = dict(sampler.sample(requests))
    body = server.bodies[1]
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("served", 0.7, 0.9, 50)
    assert (body["top_k"], body["seed"], body["tool_choice"]) == (20, 5, "none")
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert body["messages"] == row["prompt"]
    assert body["tools"] == json.loads(row["tools"])
    assert "tools" not in server.bodies[0]
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": "?"},
        history[1],
        history[2],
    ]  # no padding of Arrow
    assert found[0].text == "plain"
    assert found[1].text == '<think>hm</think>\n\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
    assert found[1].message == parsed
    assert (found[2].text, found[2].finish_reason, found[2].num_prompt_tokens) == ("cut", "length", 11)
    assert (found[3].text, found[4].text) == ("text", "")
    assert "sesame" not in json.dumps(dict(sampler.identity))
    sampler.close()


def test_prompts_rendered_here(tmp_path, tiny_tokenizer):
    tiny_tokenizer.save_pretrained(tmp_path)
    row = make_rows(1)[0]
    with CompletionServer(lambda body: "<think>a</think>\n\nb<|im_end|>") as server:
        sampler = EndpointSampler(config(server, endpoint_api="completions", tokenizer=str(tmp_path)))
        ((_, completion),) = sampler.sample([Request(row)])
        assert server.bodies[0]["prompt"] == PromptRenderer(PromptFormat(tokenizer=tiny_tokenizer))(row)
        assert server.bodies[0]["skip_special_tokens"] is False
        assert completion.text == "<think>a</think>\n\nb"
        plain = EndpointSampler(config(server))
        ((_, completion),) = plain.sample([Request({"prompt": "rendered already"})])
        assert server.bodies[1]["prompt"] == "rendered already"
        demo = EndpointSampler(config(server, endpoint_api="completions", tokenizer="demo"))
        ((_, completion),) = demo.sample([Request(row)])
        policy = AutoTokenizer.from_pretrained(demo_policy_path())
        assert server.bodies[2]["prompt"] == PromptRenderer(PromptFormat(tokenizer=policy))(row)
    assert sampler.identity["template"]
    assert plain.identity["template"] is None


def test_the_papers_style(tmp_path):
    row = make_rows(1)[0]
    with CompletionServer(lambda body: "[f()]") as server:
        list(EndpointSampler(config(server, prompt_style="paper")).sample([Request(row)]))
    assert "tools" not in server.bodies[0]
    assert json.loads(row["tools"])[0]["function"]["name"] in server.bodies[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("fault", "fields", "message"),
    [
        ("401", {}, r"takes no requests; check model_name_or_path, base_url and api_key_env: status 401"),
        ("404", {}, r"takes no requests.*status 404"),
        ("400", {}, r"refused a prompt \(--on_rejection score_0 scores it 0 and continues\): status 400"),
        ("500", {"max_retries": 1}, r"failed again and again: status 500"),
        ("time-out", {"max_retries": 0, "request_timeout": 0.1}, r"no answer within 0\.1 s"),
        ("429 with retry-after", {"max_retries": 1}, r"takes no requests.*The server is busy: lower concurrency"),
        ("huge body", {"max_retries": 0}, r"longer than max_response_bytes"),
    ],
)
def test_an_endpoint_that_fails_for_good_can_be_gone_on_with(tmp_path, fault, fields, message):
    rows = make_rows(6, split="test")
    with CompletionServer(right_answer(rows), faults=(fault,), hang=0.3) as server:
        server.fault_share = 0.0
        server.random.random = lambda: 0.0 if len(server.log) > 3 and server.fault_share else 1.0
        server.fault_share = 1.0
        with pytest.raises(SamplingStopped, match=message) as stopped:
            evaluate(DemoSuite(num_demo_rows=6), config(server, tmp_path, concurrency=1, **fields))
        assert "3 completions are in the journal; run the same command again to continue" in str(stopped.value)
        server.fault_share, answered = 0.0, len(server.log)
        done = evaluate(DemoSuite(num_demo_rows=6), config(server, tmp_path))
        assert len(server.log) - answered == 3
    assert done.summary.rows[-1].score == pytest.approx(1.0)


def test_refused_prompts(tmp_path, monkeypatch):
    row = make_rows(1)[0]
    with CompletionServer(lambda body: "x", fault_share=1.0, faults=("400",)) as server:
        ((_, completion),) = EndpointSampler(config(server, on_rejection="score_0")).sample([Request(row)])
        assert completion.finish_reason == "error"
        assert "status 400" in completion.text
        told = b'{"error": {"message": "This model\'s maximum context length is 2048 tokens."}}'
        handler = server.RequestHandlerClass
        monkeypatch.setattr(handler, "misbehave", lambda self, fault: self.reply(400, told))
        ((_, completion),) = EndpointSampler(config(server)).sample([Request(row)])
        assert completion.finish_reason == "prompt_too_long"


def test_a_server_without_a_tool_parser(tmp_path, monkeypatch):
    """What a plain `vllm serve` answers to a request with tools, whatever is done about single prompts."""
    told = {"message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'}
    with CompletionServer(lambda body: "x", fault_share=1.0, faults=("400",)) as server:
        handler = server.RequestHandlerClass
        monkeypatch.setattr(
            handler, "misbehave", lambda self, _: self.reply(400, json.dumps({"error": told}).encode())
        )
        words = [
            "evaluate",
            "demo",
            "--model",
            "m",
            "--output_dir",
            str(tmp_path),
            "--backend",
            "openai",
            "--base_url",
        ]
        for policy in ("stop", "score_0"):
            with pytest.raises(SystemExit, match=r"does not read tool calls. Give --tool_choice none, .*400"):
                main([*words, server.url, "--num_demo_rows", "2", "--on_rejection", policy])


def test_conversations_share_connections_that_stay_open(tmp_path):
    """Steps that follow each other, while one reply is slow: no conversation waits for it, and none opens a connection."""
    connections = []

    def answer(body):
        prompt = body["prompt"]
        if prompt.startswith("start 0 "):
            time.sleep(0.5)
        return str(len(prompt) % 10)

    with CompletionServer(answer) as server:
        verify = server.verify_request
        server.verify_request = lambda *args: connections.append(args) or verify(*args)
        fields = {"temperature": 1.0, "num_samples": 2, "concurrency": 4}
        evaluate(CountingSuite(), config(server, tmp_path / "a", **fields, live_conversations=5))
        evaluate(CountingSuite(), config(server, tmp_path / "b", **{**fields, "concurrency": 1}))
    assert len(connections) <= 4 + 1
    first = [json.loads(question) for question in server.log[: len(server.log) // 2]]
    assert len(first) == 48
    scores = [(tmp_path / name / "scores.jsonl").read_text() for name in "ab"]
    assert scores[0] == scores[1]


def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    options = {
        "model_name_or_path": "m",
        "output_dir": str(tmp_path),
        "backend": "openai",
        "base_url": url,
        "max_retries": 1,
    }
    with pytest.raises(SamplingStopped, match=r"(?s)failed again and again: connection failed.*0 completions"):
        evaluate(DemoSuite(num_demo_rows=2), EvaluationConfig(**options))


def test_without_a_key_or_a_client(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="OPENAI_API_KEY is not set"):
        EndpointSampler(EvaluationConfig(model_name_or_path="m", output_dir="o", backend="openai"))
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(ValueError, match=r"pip install 'egpo-trl\[judge\]', or use backend transformers or vllm"):
        EndpointSampler(EvaluationConfig(model_name_or_path="m", output_dir="o", backend="openai"))


def test_inside_a_running_loop_and_left_early():
    row = make_rows(1)[0]
    with CompletionServer(lambda body: "x", delay=0.01) as server:
        sampler = EndpointSampler(config(server, concurrency=2))

        async def notebook():
            return dict(sampler.sample([Request(row)] * 3))

        assert len(asyncio.run(notebook())) == 3
        stream = sampler.sample([Request(row)] * 200)
        next(stream)
        stream.close()
        asked = len(server.log)
    assert asked < 20
