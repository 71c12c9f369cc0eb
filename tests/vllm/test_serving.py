"""Evaluation and cleaning through `vllm serve`, and TRL's server mode as far as a CPU goes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from egpo_trl.cli import main as command
from egpo_trl.demo.policy import demo_policy_path
from tests.integration.test_two_processes import ENVIRONMENT, ROOT
from tests.vllm.ports import free_port

SECONDS_TO_START = 240


@contextmanager
def server(log: Path, *words: str, **environment: str):
    """Port of a server that answers; its whole process group ends with the block."""
    port = free_port()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words, "--port", str(port)], cwd=ROOT, env={**os.environ, **ENVIRONMENT, **environment},
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while process.poll() is None and time.monotonic() < deadline and not _answers(port):
                time.sleep(1)
            assert _answers(port), log.read_text()[-4000:]
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


SERVE = ["vllm.entrypoints.cli.main", "serve", str(demo_policy_path()), "--served-model-name", "policy",
         "--max-model-len", "4096", "--hf-overrides", '{"max_position_embeddings": 4096}', "--dtype", "float32", "--gpu-memory-utilization", "0.1"]  # fmt: skip


@pytest.fixture(scope="module")
def parsing_server(tmp_path_factory):
    """Takes calls and the chain of thought apart."""
    parsers = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "deepseek_r1"]
    with server(tmp_path_factory.mktemp("server") / "log", *SERVE, *parsers) as port:
        yield port


def evaluate(folder: Path, *words: str) -> list[tuple[str, float, str]]:
    """Scores and reasons of the embedded world's held-out rows, by the command."""
    command(["evaluate", "demo", "--num_demo_rows", "60", "--output_dir", str(folder),
             "--max_completion_length", "96", *words])  # fmt: skip
    lines = (folder / "scores.jsonl").read_text().splitlines()
    return [(row["id"], row["score"], row["reason"]) for row in map(json.loads, lines)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return evaluate(tmp_path_factory.mktemp("expected"), "--model", "demo", "--dtype", "float32")


INTERFACES = {
    "completions": ["--endpoint_api", "completions", "--tokenizer", str(demo_policy_path())],
    "chat, calls as text": ["--tool_choice", "none"],
    "chat, calls parsed": ["--tool_choice", "auto"],
}


@pytest.mark.parametrize("interface", INTERFACES)
def test_scores_are_those_of_transformers(interface, parsing_server, expected, tmp_path, record_property):
    """Calls and chains of thought that the server took apart are put together again."""
    endpoint = ["--backend", "openai", "--model", "policy", "--base_url", f"http://127.0.0.1:{parsing_server}/v1"]
    found = evaluate(tmp_path, *endpoint, *INTERFACES[interface])
    equal = sum(one == other for one, other in zip(found, expected, strict=True))
    record_property(f"scores equal, served, {interface}", f"{equal} of {len(expected)}")
    assert equal >= len(expected) - 1
    assert {score for _, score, _ in found} == {0.0, 1.0}


def test_calls_and_thoughts_come_apart(parsing_server, tmp_path):
    """What the server sends is what the test above put together: parsed calls, and a thought of its own."""
    from egpo_trl.demo.world import make_rows

    row = next(row for row in make_rows(20, split="test") if json.loads(row["reference"]))
    body = {"model": "policy", "messages": row["prompt"], "tools": json.loads(row["tools"]), "max_tokens": 96,
            "temperature": 0}  # fmt: skip
    request = urllib.request.Request(
        f"http://127.0.0.1:{parsing_server}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        message = json.load(response)["choices"][0]["message"]
    assert message["tool_calls"]
    assert message.get("reasoning") or message.get("reasoning_content")


@pytest.fixture(scope="module")
def training_server(tmp_path_factory):
    """What `trl vllm-serve` runs."""
    words = ["trl.scripts.vllm_serve", "--model", str(demo_policy_path()), "--max_model_len", "1024",
             "--gpu_memory_utilization", "0.1"]  # fmt: skip
    with server(tmp_path_factory.mktemp("server") / "log", *words) as port:
        yield port


def test_rows_are_cleaned(training_server, tmp_path, record_property):
    """Every question gets a reply with text; the policy is not a judge, so the rows may be dropped for their verdicts."""
    (tmp_path / "system.txt").write_text("Judge the answer.")
    (tmp_path / "user.txt").write_text("$conversation $tools $answer")  # the packaged one is longer than its context
    command([
        "clean", "--dataset_name", "demo", "--num_demo_rows", "6", "--output_dir", str(tmp_path), "--output_format", "jsonl",
        "--model_name_or_path", str(demo_policy_path()), "--base_url", f"http://127.0.0.1:{training_server}/v1", "--max_completion_length", "256",
        "--max_retries", "1", "--on_judge_failure", "drop", "--system_prompt_file", str(tmp_path / "system.txt"),
        "--user_prompt_file", str(tmp_path / "user.txt"),
    ])  # fmt: skip
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    record_property("rows that a served judge cleaned", manifest["counts"]["llm"])
    dropped = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert not [row["detail"] for row in dropped if re.search("status|connection|no text", row["detail"])]
    assert manifest["counts"]["input"]["rows"] == 6


def test_server_mode_goes_as_far_as_the_transfer_of_weights(training_server, record_property):
    """On a CPU the trainer finds the server and asks it to sample; weights travel by NCCL, which needs GPUs."""
    from trl.generation.vllm_client import VLLMClient

    client = VLLMClient(server_port=training_server, host="127.0.0.1")
    assert client.get_world_size() == 1
    reply = client.generate([[5, 6, 7]], n=2, max_tokens=4)
    assert [len(ids) <= 4 for ids in reply["completion_ids"]] == [True, True]
    assert all(len(one) == 1 for row in reply["logprobs"] for one in row)
    with pytest.raises(NotImplementedError, match="needs a CUDA device") as caught:
        client.init_communicator(device="cpu")
    record_property("server mode ends with", f"{type(caught.value).__name__}: {caught.value}"[:200])
