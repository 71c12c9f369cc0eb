"""Questions of a benchmark among the prompts of training rows, word for word or nearly."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_IDEOGRAPHS = r"\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # written without blanks: each counts as a word
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
_MAX_CHARACTERS = 20_000  # of a message that are looked at; no question comes near
_SHINGLE = 3  # words
MIN_WORDS = 5  # "hello" and "help me" are in every benchmark and in every data set, and say nothing of a leak


class BenchmarkLeaks:
    """
    A check that a user message of a row is a question of a benchmark, exactly or nearly.

    Texts are compared as words without case and punctuation; near means that the Jaccard
    similarity of their three-word shingles reaches the threshold. An inverted index finds the candidates. Questions of
    few words are not looked for.

    Args:
        questions (`Iterable[tuple[str, str]]`):
            Id and text of each question, such as [`~egpo_trl.data.sources.bfcl.questions`] gives.
        threshold (`float`, *optional*, defaults to `0.7`):
            Similarity from which a message counts as leaked; 1 means that all shingles are the same.
        min_words (`int`, *optional*, defaults to `5`):
            Fewest words of a question that is looked for, word for word or nearly. Chinese and Japanese characters count
            as a word each.

    Raises:
        ValueError: If the threshold is not in (0, 1], or `min_words` is below 1.
    """

    def __init__(
        self, questions: Iterable[tuple[str, str]], threshold: float = 0.7, min_words: int = MIN_WORDS
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}.")
        if min_words < 1:
            raise ValueError(f"min_words must be at least 1, got {min_words}.")
        self._threshold, self._min_words = threshold, min_words
        self._ids: list[str] = []
        self._sizes: list[int] = []
        self._exact: dict[str, int] = {}
        self._index: dict[int, list[int]] = {}
        for question_id, text in questions:
            words = _words(text)
            key = " ".join(words)
            if len(words) < min_words or key in self._exact:
                continue
            number = self._exact[key] = len(self._ids)
            shingles = _shingles(words)
            self._ids.append(question_id)
            self._sizes.append(len(shingles))
            for shingle in shingles:
                self._index.setdefault(shingle, []).append(number)

    def __call__(self, row: Mapping[str, Any]) -> str | None:
        return "benchmark_leak" if self.find(row) is not None else None

    def find(self, row: Mapping[str, Any]) -> tuple[str, float] | None:
        """The question that a row leaks."""
        found = [self._most_similar(text) for text in _user_texts(row.get("prompt"))]
        return max((match for match in found if match is not None), key=lambda match: match[1], default=None)

    def _most_similar(self, text: str) -> tuple[str, float] | None:
        words = _words(text)
        number = self._exact.get(" ".join(words))
        if number is not None:
            return self._ids[number], 1.0
        shingles = _shingles(words)
        shared: Counter[int] = Counter()
        for shingle in shingles:
            shared.update(self._index.get(shingle, ()))
        best, number = 0.0, -1
        for candidate, count in shared.items():
            similarity = count / (len(shingles) + self._sizes[candidate] - count)
            if similarity > best:
                best, number = similarity, candidate
        return (self._ids[number], best) if best >= self._threshold else None


def load_questions(name: str) -> Iterator[tuple[str, str]]:
    """Questions of a benchmark, for [`BenchmarkLeaks`]."""
    from .loading import load_rows
    from .sources import bfcl

    if name == "bfcl" or Path(name).is_dir():
        yield from bfcl.questions(None if name == "bfcl" else name)
        return
    for index, row in enumerate(load_rows(name)):
        for text in _user_texts(row.get("prompt")):
            yield str(row.get("id") or f"row {index}"), text


def _user_texts(prompt: Any) -> list[str]:
    if isinstance(prompt, str):
        return [prompt]
    messages = prompt if isinstance(prompt, list) else []
    texts = [m.get("content") for m in messages if isinstance(m, Mapping) and m.get("role") == "user"]
    return [text for text in texts if isinstance(text, str)]


def _words(text: str) -> list[str]:
    text = text[:_MAX_CHARACTERS]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _WORD.findall(text.casefold())


def _shingles(words: list[str]) -> set[int]:
    """Hashes of the runs of three words; a shorter text is one run."""
    return {hash(tuple(words[i : i + _SHINGLE])) for i in range(max(1, len(words) - _SHINGLE + 1))}
