"""Two nodes of one process each: two network namespaces joined by a cable (veth), over gloo, with shared storage.

Needs root and `ip`, to make the namespaces.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
import torch

from tests.integration import engines
from tests.integration.test_engines import (
    ENVIRONMENT,
    ROOT,
    assert_metrics_equal,
    assert_weights_equal,
    read_logs,
    weights,
)

ADDRESSES = ("10.77.0.1", "10.77.0.2")
SECONDS_TO_END = 240  # a launch of two nodes


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


class Cluster:
    """Two namespaces, in which commands run."""

    def __init__(self) -> None:
        self.nodes = tuple(f"egpo-{uuid4().hex[:8]}-{rank}" for rank in range(2))

    def __enter__(self) -> "Cluster":
        for node in self.nodes:
            ip("netns", "add", node)
        first, second = self.nodes
        ip("link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
        for node, address in zip(self.nodes, ADDRESSES, strict=True):
            ip("-n", node, "addr", "add", f"{address}/24", "dev", "cable")
            for link in ("lo", "cable"):
                ip("-n", node, "link", "set", link, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            subprocess.run(["ip", "netns", "del", node], check=False, capture_output=True, timeout=30)

    def start(self, engine: str, folder: Path, *options: str) -> "Launch":
        """`accelerate launch` with a shipped config on both nodes, as docs/scaling.md has it."""
        processes = []
        for rank, node in enumerate(self.nodes):
            log = (folder / f"node-{rank}.log").open("w")
            command = [
                "ip", "netns", "exec", node, sys.executable, "-m", "accelerate.commands.launch",
                "--config_file", f"configs/accelerate/{engine}.yaml", "--mixed_precision", "no",
                "--num_machines", "2", "--num_processes", "2", "--machine_rank", str(rank),
                "--main_process_ip", ADDRESSES[0], "--main_process_port", "29500",
                "tests/integration/engines.py", str(folder), *options,
            ]  # fmt: skip
            environment = {**ENVIRONMENT, "GLOO_SOCKET_IFNAME": "cable"}
            processes.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            )
        return Launch(processes, folder)


class Launch:
    """The commands of both nodes."""

    def __init__(self, processes: list[subprocess.Popen], folder: Path) -> None:
        self.processes, self.folder = processes, folder

    def shown(self, rank: int) -> str:
        return (self.folder / f"node-{rank}.log").read_text()

    def end(self, seconds: float = SECONDS_TO_END) -> list[int]:
        """Exit codes; what has not ended by then is killed, and the test fails."""
        deadline = time.monotonic() + seconds
        try:
            return [process.wait(max(1.0, deadline - time.monotonic())) for process in self.processes]
        except subprocess.TimeoutExpired:
            pytest.fail(f"no end after {seconds} s:\n{self.shown(0)[-3000:]}\n{self.shown(1)[-3000:]}")
        finally:
            self.kill()

    def kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip")
    try:
        with Cluster() as made:
            yield made
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode()[-200:]}")


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Path:
    """Folder of the run on one process."""
    folder = tmp_path_factory.mktemp("single")
    engines.train(folder)
    return folder


@pytest.fixture(scope="module")
def interrupted(cluster, tmp_path_factory):
    """Folder and launch of an engine's run whose second node is killed in the third step."""
    made: dict[str, tuple[Path, Launch, list[int], float]] = {}

    def of(engine: str) -> tuple[Path, Launch, list[int], float]:
        if engine not in made:
            folder = tmp_path_factory.mktemp(f"{engine}_interrupted")
            started, start = cluster.start(engine, folder, "--mode", "die"), time.monotonic()
            codes = started.end()
            made[engine] = folder, started, codes, time.monotonic() - start
        return made[engine]

    return of


BOTH = ["ddp", pytest.param("zero3", marks=pytest.mark.slow)]


@pytest.mark.parametrize("engine", ["ddp", "zero3"])
def test_two_nodes_equal_one_process(engine, cluster, single, tmp_path):
    started = cluster.start(engine, tmp_path)
    codes = started.end()
    assert codes == [0, 0], started.shown(0)[-4000:]
    found = read_logs(tmp_path, "final")
    assert (found["engine"], found["processes"]) == (f"DistributedType.{KINDS[engine]}", 2)
    assert_metrics_equal(tmp_path, single)
    assert_weights_equal(tmp_path, single)


KINDS: Mapping[str, str] = {"ddp": "MULTI_CPU", "zero3": "DEEPSPEED"}
CAUSES = r"(?i)connection (closed|reset) by peer|timed out|socket|broken pipe"


@pytest.mark.parametrize("engine", BOTH)
def test_a_node_that_dies_ends_the_other(engine, interrupted):
    """Within the time-out, with the connection as the cause, and with a checkpoint to go on from."""
    folder, started, codes, _ = interrupted(engine)
    assert 0 not in codes
    assert re.search(CAUSES, started.shown(0)), started.shown(0)[-4000:]
    assert (folder / f"checkpoint-{engines.SAVE_STEPS}").is_dir()


@pytest.mark.parametrize("engine", BOTH)
def test_both_nodes_resume(engine, cluster, interrupted, single):
    folder, *_ = interrupted(engine)
    started = cluster.start(engine, folder, "--resume")
    codes = started.end()
    assert codes == [0, 0], started.shown(0)[-4000:]
    assert_resumed(folder, single)


def assert_resumed(folder: Path, single: Path) -> None:
    """The last two steps and the weights of the run on one process that was not interrupted."""
    resumed, whole = read_logs(folder, "resumed")["logs"], read_logs(single, "final")["logs"]
    for log, expected in zip(resumed[-2:], whole[-2:], strict=True):
        assert log["loss"] == pytest.approx(expected["loss"], rel=1e-3, abs=1e-5)
        assert log["reward"] == pytest.approx(expected["reward"])
    ours, theirs = weights(folder / "resumed"), weights(single / "final")
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-5)


def test_one_node_resumes_what_two_began(interrupted, single):
    """DDP saves nothing by process but the state of random numbers."""
    folder, *_ = interrupted("ddp")
    engines.train(folder, resume=True)
    assert_resumed(folder, single)


@pytest.mark.slow
def test_zero_resumes_on_as_many_processes_only(interrupted):
    """The optimizer's shards belong to the number of processes that wrote them; DeepSpeed says so."""
    folder, *_ = interrupted("zero3")
    done = subprocess.run(
        [
            sys.executable, "-m", "accelerate.commands.launch", "--config_file", "configs/accelerate/zero3.yaml",
            "--num_processes", "1", "--mixed_precision", "no", "--main_process_port", "0",
            "tests/integration/engines.py", str(folder), "--resume",
        ],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS_TO_END,
    )  # fmt: skip
    assert done.returncode != 0
    assert "world size" in done.stderr, done.stderr[-3000:]


@pytest.mark.slow
def test_a_cable_that_is_pulled_ends_both(cluster, tmp_path):
    """Nobody says that a connection is gone: the time-out ends the wait."""
    started = cluster.start("ddp", tmp_path, "--mode", "unplug")
    try:
        codes = started.end()
    finally:
        ip("-n", cluster.nodes[1], "link", "set", "cable", "up")
    assert 0 not in codes
    assert "imed out" in started.shown(0), started.shown(0)[-4000:]
