"""Reads the rollouts of a run, in training and on held-out rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .before_after import question_of
from .run_log import parse_lines

ROLLOUT_FILE = "rollouts.jsonl"
ANSWER, THOUGHT, TOOL_RESULT = 0, 1, 2  # kinds of tokens, the third value of each
_BUDGET = 900_000  # characters of JSON that the rollouts of a page may take
_HELD_OUT_ROWS = 64  # measured ones first

Token = Sequence[Any]  # text, entropy in nats or None, kind
Turns = list[tuple[str, list[tuple[str, float | None]]]]  # "thought", "answer" or "tool", with its tokens


def _model_turn(tokens: Sequence[Token], close: str) -> Turns:
    """Thought up to and with the closing think tag (or the last token of thought), and the answer after it."""
    text = "".join(str(token[0]) for token in tokens)
    end = text.find(close) + len(close) if close in text else 0
    place, last = 0, 0
    for piece, _, kind in tokens:
        place += len(piece)
        last = place if kind == THOUGHT else last
    end = end or last
    thought: list[tuple[str, float | None]] = []
    answer: list[tuple[str, float | None]] = []
    place = 0
    for piece, entropy, kind in tokens:
        cut = min(max(end - place, 0), len(piece))
        shade = round(float(entropy), 3) if kind == THOUGHT and entropy is not None else None
        if piece[:cut]:
            thought.append((piece[:cut], shade))
        rest = piece[cut:] if answer else piece[cut:].lstrip("\n")
        if rest:
            answer.append((rest, None))
        place += len(piece)
    return [(name, part) for name, part in (("thought", thought), ("answer", _joined(answer))) if part]


def _joined(pieces: Sequence[tuple[str, float | None]]) -> list[tuple[str, float | None]]:
    return [("".join(text for text, _ in pieces), None)] if pieces else []


def turns_of_tokens(tokens: Sequence[Token], close: str) -> Turns:
    """Thoughts, answers and tool results of a completion, in order."""
    turns: Turns = []
    stretch: list[Token] = []
    for token in [*tokens, None]:
        is_tool = None if token is None else token[2] == TOOL_RESULT
        if stretch and (is_tool is None or is_tool != (stretch[0][2] == TOOL_RESULT)):
            if stretch[0][2] == TOOL_RESULT:
                turns.append(("tool", [("".join(str(one[0]) for one in stretch), None)]))
            else:
                turns += _model_turn(stretch, close)
            stretch = []
        if token is not None:
            stretch.append(token)
    return turns


def turns_of_text(text: str, close: str) -> Turns:
    """Thought and answer of a text without entropies."""
    return _model_turn([(text, None, ANSWER)], close)


def _turns_of_messages(completion: Any, close: str) -> Turns:
    turns: Turns = []
    for message in completion:
        content = str(message.get("content") or "")
        if message.get("role") == "tool":
            turns.append(("tool", [(content, None)]))
            continue
        thought = message.get("reasoning_content") or message.get("thinking")
        if thought:
            turns.append(("thought", [(str(thought), None)]))
        if message.get("tool_calls"):
            content += "\n" * bool(content) + json.dumps(message["tool_calls"], ensure_ascii=False, default=str)
        turns += turns_of_text(content, close)
    return turns


def _item(row: Mapping[str, Any], when: str, order: int, group: str, close: str) -> dict[str, Any]:
    tokens = [(str(text), entropy, int(kind)) for text, entropy, kind in row.get("tokens") or ()]
    completion = row["completion"]
    if isinstance(completion, str):
        measured = "".join(token[0] for token in tokens)
        if not completion.startswith(measured):
            tokens, measured = [], ""
        rest = completion[len(measured) :]  # the entropies of a long completion end before it does
        turns = turns_of_tokens([*tokens, (rest, None, ANSWER)] if rest else tokens, close)
    else:
        turns = turns_of_tokens(tokens, close) if tokens else _turns_of_messages(completion, close)
    entropies = [float(entropy) for _, entropy, kind in tokens if kind == THOUGHT and entropy is not None]
    return {
        "when": when,
        "order": order,
        "group": group,
        "request": question_of(row["prompt"]),
        "reference": row.get("reference"),
        "reason": str(row["reason"]),
        "reward": float(row["reward"]),
        "advantage": None if row.get("advantage") is None else round(float(row["advantage"]), 4),
        "entropy": round(sum(entropies) / len(entropies), 4) if entropies else None,
        "turns": turns,
    }


def _held_out_items(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, close: str
) -> list[dict[str, Any]]:
    """Greedy completions of held-out rows; those before and after training of one row are a group."""
    halves = {name: one["greedy"]["completions"] for name, one in (("before", before), ("after", after))
              if one is not None and "greedy" in one}  # fmt: skip
    count = max(map(len, halves.values()), default=0)
    rows = sorted(range(count), key=lambda i: not any(i < len(h) and h[i].get("tokens") for h in halves.values()))
    return [
        _item({**half[index], "reward": half[index]["score"]}, name, order, f"held-out row {index + 1}", close)
        for index in rows[:_HELD_OUT_ROWS]
        for order, (name, half) in enumerate(halves.items(), -2)
        if index < len(half)
    ]


def _tables(run: Path) -> Iterator[dict[str, Any]]:
    """Rollouts of the tables of completions that TRL wrote (`log_completions: true`), if their reward gives reasons."""
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    for path in sorted((run / "completions").glob("*.parquet")):
        try:
            rows = pyarrow.parquet.read_table(path).to_pylist()
        except (ArrowException, OSError):  # it is being written
            continue
        for row in rows:
            if row.get("reason") is not None:
                others = ("step", "prompt", "completion", "advantage", "reason")
                rewards = [v for name, v in row.items() if name not in others and isinstance(v, int | float)]
                yield {**row, "reward": rewards[0] if rewards else float(row["reason"] == "correct")}


def _training_items(run: Path, close: str) -> list[dict[str, Any]]:
    path = run / ROLLOUT_FILE
    rows = parse_lines(path.read_text(encoding="utf-8")) if path.exists() else list(_tables(run))
    items = []
    for row in rows:
        step = int(row["step"])
        group = f"step {step}: {question_of(row['prompt'])}"
        items.append(_item(row, f"step {step}", step, group, close))
    return items


def read_rollouts(
    run: Path, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, close: str, budget: int = _BUDGET
) -> list[dict[str, Any]]:
    """Rollouts of a run: held-out completions before and after training, then groups of training rollouts by step."""
    try:
        items = [*_held_out_items(before, after, close), *_training_items(run, close)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"The rollouts in {run} cannot be read: {error!r}. Remove {ROLLOUT_FILE}.") from None
    return fit(items, budget)


def fit(items: list[dict[str, Any]], budget: int) -> list[dict[str, Any]]:
    """Rollouts that take at most a number of characters: every second group is left out until they do."""
    while sum(len(json.dumps(item)) for item in items) > budget and len(items) > 1:
        groups = list(dict.fromkeys(item["group"] for item in items))
        kept = set(groups[::2] if len(groups) > 1 else ())
        items = [item for item in items if item["group"] in kept] or items[: len(items) // 2]
    return items
