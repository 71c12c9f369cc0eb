"""Short waits between the tries of the openai client."""

from tests.sampling.conftest import short_waits

__all__ = ["short_waits"]
