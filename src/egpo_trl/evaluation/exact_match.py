"""Measures the strict exact match of a model on canonical rows, by kind of row and by reason."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..rewards.tool_call import ToolCallReward
from ..sampling.generate import render_prompt, sample_completions, stop_token_ids
from .intervals import wilson_interval


@dataclass(frozen=True)
class Judged:
    """A row with the completion that a model gave and the verdict on it."""

    row: Mapping[str, Any]
    completion: str
    score: float
    reason: str
    completion_ids: tuple[int, ...] = ()
    tool_mask: tuple[int, ...] | None = None  # 0 at tokens of tool results, which the model did not write


def judge_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    reward: ToolCallReward,
    *,
    render_tools: bool = True,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> list[Judged]:
    """
    Sample a completion for each row and judge it as training does.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Model to evaluate.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer.
        rows (`Sequence[Mapping[str, Any]]`):
            Canonical rows.
        reward ([`ToolCallReward`]):
            Criterion; options that are open are taken from the tokenizer.
        render_tools (`bool`, *optional*, defaults to `True`):
            Whether each row's tools are handed to the chat template.
        chat_template_kwargs (`Mapping`, *optional*):
            Further arguments of the chat template.
        **sampling:
            Arguments of [`sample_completions`].

    Returns:
        `list[Judged]`:
            One for each row, in order.
    """
    bound = reward.bind(
        tokenizer, chat_template_kwargs, stop_token_ids=stop_token_ids(tokenizer, model.generation_config)
    )
    prompts = [
        render_prompt(tokenizer, row, render_tools=render_tools, chat_template_kwargs=chat_template_kwargs)
        for row in rows
    ]
    completions = sample_completions(model, tokenizer, prompts, **sampling)
    judged = []
    for row, ids in zip(rows, completions, strict=True):
        text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        verdict = bound.judge(text, row["reference"], row.get("tools"), row["prompt"], ids)
        judged.append(Judged(row, text, verdict.score, verdict.reason, tuple(ids)))
    return judged


def exact_match(judged: Sequence[Judged], by: Callable[[Judged], str] | None = None) -> dict[str, float]:
    """
    Share of rows answered right.

    Args:
        judged (`Sequence[Judged]`):
            Judged rows.
        by (`Callable`, *optional*):
            Group of a row; by default its `kind` column where it has one.

    Returns:
        `dict[str, float]`:
            `"all"` and each group, between 0 and 1.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for item in judged:
        groups["all"].append(item.score)
        group = by(item) if by is not None else item.row.get("kind")
        if group is not None:
            groups[group].append(item.score)
    return {name: sum(scores) / len(scores) for name, scores in groups.items()}


def _intervals(judged: Sequence[Judged]) -> dict[str, tuple[float, float]]:
    sizes = Counter(item.row["kind"] for item in judged if item.row.get("kind") is not None) + Counter(all=len(judged))
    return {name: wilson_interval(share * sizes[name], sizes[name]) for name, share in exact_match(judged).items()}


def reasons(judged: Sequence[Judged]) -> dict[str, int]:
    """How many rows got each reason, the most frequent first."""
    return dict(Counter(item.reason for item in judged).most_common())


def summarize(judged: "Mapping[str, Sequence[Judged]]", criterion: str = "exact match") -> dict[str, Any]:
    """Exact match and reasons of an evaluation."""
    return {
        decoding: {
            "criterion": criterion,
            "exact_match": exact_match(items),
            "intervals": _intervals(items),
            "reasons": reasons(items),
            "completions": [
                {"prompt": item.row["prompt"], "reference": item.row.get("reference", item.row.get("trajectory")),
                 "completion": item.completion, "score": item.score, "reason": item.reason}
                for item in items
            ],
        }
        for decoding, items in judged.items()
    }  # fmt: skip
