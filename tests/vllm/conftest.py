"""Tests with vLLM itself, built for CPUs; `make test-vllm` builds the environment. Elsewhere nothing is collected."""

import gc
import importlib.util
import os
from pathlib import Path

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

import pytest

HERE = Path(__file__).parent
collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*.py"]


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.vllm)


def pytest_terminal_summary(terminalreporter):
    """What the tests measured, by `record_property`."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(autouse=True, scope="session")
def reloadable_weights():
    from tests.vllm.launch import keep_weights_reloadable

    keep_weights_reloadable()


@pytest.fixture(autouse=True)
def engines_end(monkeypatch):
    """Free the engines that a test has started in this process, each of which keeps a gigabyte and more."""
    from vllm import LLM

    started = []
    init = LLM.__init__

    def record(self, *args, **kwargs):
        init(self, *args, **kwargs)
        started.append(self)

    monkeypatch.setattr(LLM, "__init__", record)
    yield
    while started:
        started.pop().llm_engine.engine_core.shutdown()
    gc.collect()
