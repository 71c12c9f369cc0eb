"""Seconds that conversations of several steps take through an endpoint, when all replies are fast and when a few are slow.

    python benchmarks/evaluation_speed.py

A local server answers in a process of its own. The share of slow replies is fixed by their prompts, so that two versions
of the code wait for the same ones. Prints one JSON object: seconds and connections opened.

64 conversations x 10 steps, replies after 50 ms, 3 % of them after 1.5 s, on a shared 2-core machine:
rounds that wait for every reply (before): 3.11 s all fast, 15.23 s with slow ones, 640 connections;
each conversation on its own (now): 1.71 s and 2.98 s, 64 connections.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.evaluation.records import Item, Scored
from egpo_trl.evaluation.suite import Suite
from egpo_trl.sampling.config import EvaluationConfig

FAST = 0.05


@dataclass(kw_only=True)
class Steps(Suite):
    """Conversations that go on for a fixed number of steps, whatever the model says."""

    name: ClassVar[str] = "steps"

    conversations: int = 64
    steps: int = 10

    def items(self) -> list[Item]:
        return [Item(str(number), "all", {"prompt": "start"}) for number in range(self.conversations)]

    def conversation(self, item: Item) -> Any:
        for step in range(self.steps):
            yield {"prompt": [{"role": "user", "content": f"{item.id} {step}"}], "tools": "[]"}

    def score(self, samples: Any, output_dir: Any) -> list[Scored]:
        return [Scored(one.item.id, "all", one.number, 1.0, "correct") for one in samples]


def serve(port: Any, connections: Any, slow_share: float, slow: float) -> None:
    """Answer chat completions after a while."""
    body = json.dumps({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.value += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                asked = json.loads(await reader.readexactly(int(length.split(b":")[1])))
                is_slow = random.Random(asked["messages"][0]["content"]).random() < slow_share
                await asyncio.sleep(slow if is_slow else FAST)
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(client, "127.0.0.1", 0, backlog=1024)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(run())


def measure(conversations: int, steps: int, slow_share: float, slow: float) -> dict[str, float]:
    """Seconds of one evaluation, model loading and scoring included, and the connections that it opened."""
    port, connections = multiprocessing.Value("i", 0), multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(port, connections, slow_share, slow), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.01)
    with tempfile.TemporaryDirectory() as folder:
        config = EvaluationConfig(
            model_name_or_path="m", output_dir=folder, backend="openai", base_url=f"http://127.0.0.1:{port.value}/v1",
            concurrency=conversations,
        )  # fmt: skip
        start = time.perf_counter()
        evaluate(Steps(conversations=conversations, steps=steps), config)
        seconds = time.perf_counter() - start
    server.terminate()
    return {"seconds": round(seconds, 2), "connections": connections.value}


def main() -> None:
    """Measure an endpoint whose replies are all fast, and one with a few slow replies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--slow_share", type=float, default=0.03)
    parser.add_argument("--slow", type=float, default=1.5, help="seconds of a slow reply")
    options = parser.parse_args()
    measure(2, 2, 0.0, options.slow)  # imports
    print(
        json.dumps(
            {
                "all fast": measure(options.conversations, options.steps, 0.0, options.slow),
                "a few slow": measure(options.conversations, options.steps, options.slow_share, options.slow),
            }
        )
    )


if __name__ == "__main__":
    main()
