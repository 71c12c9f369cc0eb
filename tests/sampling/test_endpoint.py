"""The client of endpoints: which failures it sends again, what it counts, and what it never reads."""

import asyncio

import pytest

from egpo_trl.sampling.config import EndpointConfig
from egpo_trl.sampling.endpoint import EndpointClient
from egpo_trl.sampling.errors import EndpointError, EndpointUnavailable, RejectedRequest
from egpo_trl.sampling.limits import Limits
from tests.cleaning.judge_server import JudgeServer
from tests.cleaning.world_judge import Truth


def read(body):
    if b"choices" not in body:
        raise ValueError("the body is not a completion")
    return body


def ask(server, limits, **fields):
    """One request."""

    async def run():
        config = EndpointConfig(
            base_url=server.url, **{"request_timeout": 1.0, "max_response_bytes": 10_000, **fields}
        )
        client = EndpointClient(config, limits, read, "do without")
        try:
            return await client.complete(model="m", messages=[{"role": "user", "content": "?"}])
        finally:
            await client.close()

    return asyncio.run(run())


def failing(fault, times):
    server = JudgeServer(Truth([]), fault_share=1.0, faults=(fault,), hang=1.5)
    server.question = lambda body: ""
    server.body_for = lambda body: b'{"choices": []}'
    server.random.random = lambda: 0.0 if len(server.log) <= times else 1.0
    return server


@pytest.mark.parametrize(
    "fault",
    ["429", "429 with retry-after", "500", "503", "time-out", "drip", "closed", "truncated body", "non-JSON body",
     "huge body", "compressed"],
)  # fmt: skip
def test_failures_that_may_pass_are_sent_again_and_counted(fault):
    limits = Limits()
    with failing(fault, 2) as server:
        assert ask(server, limits) == b'{"choices": []}'
        assert limits.requests == len(server.log) == 3


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("500", EndpointError, "status 500"),
        ("429", EndpointUnavailable, "The server is busy"),
        ("closed", EndpointError, "connection failed"),
        ("non-JSON body", EndpointError, "connection failed: the body is not a completion"),
        ("drip", EndpointError, "no answer within 1 s"),
    ],
)
def test_retries_end(fault, kind, message):
    limits = Limits()
    with failing(fault, 99) as server:
        with pytest.raises(kind, match=message):
            ask(server, limits, max_retries=1)
        assert limits.requests == len(server.log) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [("400", RejectedRequest), ("422", RejectedRequest), ("401", EndpointUnavailable)]
)
def test_refusals_are_not_sent_again(status, kind):
    with failing(status, 99) as server:
        with pytest.raises(kind, match=f"status {status}"):
            ask(server, Limits())
        assert len(server.log) == 1


def test_a_retry_after_of_an_hour_ends_at_once(monkeypatch):
    with failing("429", 99) as server:
        monkeypatch.setattr(
            server.RequestHandlerClass, "misbehave", lambda self, fault: self.reply(429, b"{}", Retry_After="3600")
        )
        with pytest.raises(EndpointUnavailable, match=r"Retry-After: 3600"):
            ask(server, Limits())
        assert len(server.log) == 1
