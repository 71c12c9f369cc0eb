"""Short waits between the tries of the openai client."""

import pytest


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    import openai._base_client

    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(openai._base_client, "MAX_RETRY_DELAY", 0.05)
