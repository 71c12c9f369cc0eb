"""Rows with the same prompt and functions as an earlier one; only hashes are kept."""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from typing import Any


class Duplicates:
    """
    A check that a row repeats the prompt and the functions of an earlier one, 16 bytes of hash for each row.

    Example:

    ```python
    >>> from egpo_trl.data.duplicates import Duplicates
    >>> check = Duplicates()
    >>> row = {"prompt": [{"role": "user", "content": "Hi"}], "tools": "[]", "reference": "[]"}
    >>> check(row), check(row)
    (None, 'duplicate')
    ```
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __call__(self, row: Mapping[str, Any]) -> str | None:
        try:
            digest = row_digest(row)
        except RecursionError:
            return None  # for the AST evaluation to report
        if digest in self._seen:
            return "duplicate"
        self._seen.add(digest)
        return None


def row_digest(row: Mapping[str, Any]) -> bytes:
    """Hash of the prompt and functions of a row, whatever its ids, order of keys, white space and nulls."""
    prompt = json.dumps(without_ids(row.get("prompt")), sort_keys=True, default=str)
    tools = row.get("tools")
    return blake2b(prompt.encode() + _tools_digest("[]" if tools is None else str(tools)), digest_size=16).digest()


@lru_cache(maxsize=1024)
def _tools_digest(tools: str) -> bytes:
    with suppress(ValueError, RecursionError):  # malformed tools are for the AST evaluation to report
        tools = json.dumps(json.loads(tools), sort_keys=True)
    return blake2b(tools.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def without_ids(prompt: Any) -> Any:
    """A prompt without the ids of calls, which a data set may draw at random, and without nulls."""
    if isinstance(prompt, Mapping):
        kept = {key: item for key, item in prompt.items() if item is not None and key not in ("id", "tool_call_id")}
        return {key: without_ids(item) for key, item in kept.items()}
    return [without_ids(item) for item in prompt] if isinstance(prompt, list) else prompt
