"""Evaluates canonical rows by the reward of training: those of the embedded world, or your own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..data.options import RowsOptions
from ..data.prompts import DEFAULT_THINK_TAGS
from ..data.rows import BAD_ROWS, BAD_ROWS_HELP
from ..environments.replay import DEFAULT_LIMITS
from ..rewards.tool_call import COMPARISONS, ToolCallReward
from ..rollouts.policy import Policy
from ..tool_calls.calls import State
from ..tool_calls.completions import SYNTAXES
from ..tool_calls.thinking import THINKING_MODES
from ..utils.options import check_least, option
from .records import Item, Sample, Scored
from .suite import Suite

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(kw_only=True)
class RewardSuite(Suite):
    """Suite whose criterion is the reward of training: strict exact match with a reason for each failure."""

    tool_call_syntax: str = option("Syntax of calls, as in training.", "auto", (*SYNTAXES, "auto"))
    thinking: str | None = option(
        f"Whether a think block is {', '.join(THINKING_MODES)}; default: as in training.", None
    )
    comparison: str = option("How calls are compared.", "exact", tuple(COMPARISONS))
    allow_text: bool = option("Whether text may accompany calls.", False)
    dots_as_underscores: bool = option("Whether a.b and a_b are the same function.", False)

    def __post_init__(self) -> None:
        self._reward()  # raises for an unknown value

    def _reward(self) -> ToolCallReward:
        syntax = self.tool_call_syntax
        if syntax == "auto" and self.prompts.style == "paper":
            syntax = "pythonic"
        return ToolCallReward(
            syntax=syntax,
            comparison=self.comparison,
            thinking=self.thinking,
            think_tags=self.prompts.think_tags,
            allow_text=self.allow_text,
            dots_as_underscores=self.dots_as_underscores,
        )

    def checked(self, rows: "Dataset", name: str, bad_rows: str = "error") -> "Dataset":
        """Rows that can be rendered completely and whose reference scores 1, see `check_rows`."""
        from ..data.ast_evaluation import schema_problem
        from ..data.rows import Check, Problem, check_rows
        from ..sampling.rendering import PromptRenderer

        reward, prompts = self._reward(), self.prompts
        checks: list[Check] = [schema_problem] if reward.has_plain_reference else []
        if prompts.tokenizer is not None:
            kwargs, stops = prompts.chat_template_kwargs, prompts.stop_token_ids
            tags = prompts.think_tags or (DEFAULT_THINK_TAGS if prompts.style == "paper" else None)
            policy = Policy(prompts.tokenizer, kwargs, tags, stops, DEFAULT_LIMITS, ())
            bound, render = reward.for_policy(policy), PromptRenderer(prompts)
            if "tools" in rows.column_names:
                render.check_template()

            def judge(row: Mapping[str, Any]) -> Problem | None:
                found = bound.row_problem(row, policy)
                return None if found is None else Problem(*found)

            checks += [lambda row: render.problem(row, render.tools_of(row)), judge]
        return check_rows(rows, name, ["prompt", "reference"], checks, bad_rows)

    def score(self, samples: Sequence[Sample], output_dir: Path) -> list[Scored]:
        """Judge each completion as [`ToolCallReward`] does in training."""
        reward, prompts = self._reward(), self.prompts
        if prompts.tokenizer is not None:
            reward = reward.bind(
                prompts.tokenizer, prompts.chat_template_kwargs, prompts.think_tags, prompts.stop_token_ids
            )
        scored = []
        for sample in samples:
            row, last = sample.item.row, sample.completions[-1:]
            ids = last[0].completion_ids if last else ()
            verdict = reward.judge(sample.text, row["reference"], row.get("tools"), row["prompt"], ids or None)
            score, reason = verdict.score, verdict.reason
            if last and not ids and last[0].finish_reason == "length" and verdict.state is not State.CALL:
                score, reason = 0.0, "truncated"  # as the reward says where it has token ids
            scored.append(Scored(sample.item.id, sample.item.category, sample.number, score, reason))
        return scored


@dataclass(kw_only=True)
class DemoSuite(RewardSuite):
    """Held-out queries of the embedded tool world, by kind of query."""

    name: ClassVar[str] = "demo"

    num_demo_rows: int = option("Held-out queries of the embedded world.", 400)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "num_demo_rows")

    def items(self) -> list[Item]:
        """The first queries of the held-out split, the ones that the quickstart reports on."""
        from datasets import Dataset

        from ..demo.world import make_rows

        rows = make_rows(self.num_demo_rows, split="test")
        self.checked(Dataset.from_list(rows), self.name)  # whether the model's chat template is up to them
        return [Item(row["id"], row["kind"], row) for row in rows]


@dataclass(kw_only=True)
class RowsSuite(RewardSuite, RowsOptions):
    """Canonical rows of your own, by the column `kind` or `source` where there is one."""

    name: ClassVar[str] = "rows"

    max_rows: int | None = option("Most rows, from the first on.", None)
    bad_rows: str = option(BAD_ROWS_HELP, "error", BAD_ROWS)

    def items(self) -> list[Item]:
        """The rows, each under its `id` or its position."""
        from ..data.loading import load_rows

        rows = load_rows(self.dataset_name, self.dataset_config, self.dataset_split)
        rows = rows.select(range(min(len(rows), self.max_rows or len(rows))))
        rows = self.checked(rows, self.dataset_name, self.bad_rows)
        columns = ("prompt", "tools", "reference")
        items: list[Item] = []
        taken: set[str] = set()
        for index, row in enumerate(rows):
            fields: dict[str, Any] = {name: row[name] for name in columns if name in row}
            name = str(row["id"]) if row.get("id") is not None else f"row-{index}"
            if name in taken:
                name = f"{name}#{index}"
            taken.add(name)
            items.append(Item(name, str(row.get("kind") or row.get("source") or "rows"), fields))
        return items
