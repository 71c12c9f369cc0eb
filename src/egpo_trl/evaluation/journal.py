"""The journal of an evaluation: one line for each completion, durable before it is used."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..sampling.completion import Completion
from ..utils.journal import JournalError, JournalFile

Key = tuple[str, int, int]  # item, sample, step


class CompletionJournal(JournalFile):
    """
    Completions by item, sample and step. In memory there is where each one lies, and nothing of its text.

    Args:
        path (`Path`):
            File; begun if there is none. A half-written last line is cut off.
        belongs_to (`Mapping[str, Any]`):
            What the completions depend on: suite, model and decoding, as JSON values.

    Raises:
        JournalError: If the file belongs to something else, is broken in the middle, or another process holds it.
    """

    def __init__(self, path: Path, belongs_to: Mapping[str, Any]) -> None:
        self._offsets: dict[Key, int] = {}
        super().__init__(path, belongs_to, "sample everything again")

    def _index(self, value: Any, offset: int) -> None:
        key = (value["item"], value["sample"], value["step"])
        if list(map(type, key)) != [str, int, int] or not isinstance(value["completion"], dict):
            raise ValueError("no completion")
        self._offsets.setdefault(key, offset)

    def __len__(self) -> int:
        return len(self._offsets)

    def read(self, key: Key, prompt: str) -> Completion | None:
        """
        A completion that was sampled before.

        Args:
            key (`tuple[str, int, int]`):
                Item, sample and step.
            prompt (`str`):
                Digest of the row that is to be sampled.

        Returns:
            [`Completion`] or `None`:
                The completion, if there is one.

        Raises:
            JournalError: If it was sampled from another row.
        """
        if key not in self._offsets:
            return None
        value = self._read_line(self._offsets[key])
        if value["prompt"] != prompt:
            raise JournalError(
                f"{self.path}: item {key[0]!r}, sample {key[1]}, asked something else at step {key[2]} before: the suite "
                "was changed. Use another output folder, or move the journal away to sample everything again."
            )
        fields = value["completion"]
        return Completion(**{**fields, "completion_ids": tuple(fields["completion_ids"])})

    def append(self, key: Key, prompt: str, completion: Completion) -> None:
        """
        Add a completion, durable when this returns.

        Args:
            key (`tuple[str, int, int]`):
                Item, sample and step.
            prompt (`str`):
                Digest of the row that was sampled.
            completion ([`Completion`]):
                What came back.

        Raises:
            OSError: If it cannot be written; nothing can be appended afterwards.
        """
        item, sample, step = key
        fields = asdict(completion)
        self._append({"item": item, "sample": sample, "step": step, "prompt": prompt, "completion": fields})
