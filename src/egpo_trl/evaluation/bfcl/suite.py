"""[`BFCL`]: the benchmark as a suite, scored by the official checkers."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ...data.sources.bfcl import convert_record
from ...rewards.tool_call import ToolCallReward, Verdict
from ...sampling.completion import Completion
from ...sampling.sampler import PromptFormat
from ...tool_calls.calls import State
from ...tool_calls.thinking import THINKING_MODES
from ...utils.files import write_json_lines
from ...utils.options import check_choices, check_least, option
from ..records import Item, Sample, Scored
from ..subsets import SUBSETS, find_categories
from ..suite import Conversation, Suite
from ..summary import Summary
from .categories import CATEGORIES, GROUPS, MULTI_TURN, UNSATISFIABLE
from .files import write_results, write_scores
from .leaderboard import AGENTIC_SHARE, leaderboard
from .multi_turn import converse
from .package import VERSION, check_data
from .sandbox import OfficialError, Sandbox, SandboxFailure
from .stand_ins import HANDLERS

PROMPTS = ("training", "official")
_MULTI_TURN_FIELDS = ("id", "question", "function", "missed_function")
_NOT_PYTHON = ("simple_java", "simple_javascript")


@dataclass(kw_only=True)
class BFCL(Suite):
    """The Berkeley Function-Calling Leaderboard by its official data and checkers."""

    name: ClassVar[str] = "bfcl"

    categories: str = option(
        "Categories or groups (single_turn, non_live, live, multi_turn, all), with commas between.", "all"
    )
    max_per_category: int | None = option("Most entries of each category.", None)
    subset: str = option("Which entries: 'even' or 'shortest'.", "even", SUBSETS)
    benchmark_prompt: str = option(
        "'training': rendered as in training. 'official': what the official handler writes.", "training", PROMPTS
    )
    bfcl_handler: str = option(
        "Official handler: 'fc' (Hermes calls), 'prompting' (pythonic calls), or by the prompts.",
        "auto",
        ("auto", *HANDLERS),
    )
    thinking: str | None = option("Think block of the strict share; default: as in training.", None, THINKING_MODES)
    registry_name: str = option("Name of the model in the official files.", "egpo-trl")

    def __post_init__(self) -> None:
        check_choices(self)
        check_least(self, 1, "max_per_category")
        if not self.registry_name or "_" in self.registry_name or self.registry_name.startswith((".", "/")):
            raise ValueError(f"registry_name must be a name without '_', got {self.registry_name!r}.")
        self._chosen = find_categories(self.categories, GROUPS, CATEGORIES)
        self._items: list[Item] = []
        self._strict: dict[str, list[float]] = {}
        self._unscorable: Counter[str] = Counter()

    def check(self) -> None:
        """Check what can be checked before there is a model."""
        check_data(self._chosen)

    def begin(self, prompts: PromptFormat) -> None:
        super().begin(prompts)
        self._is_official = self.benchmark_prompt == "official"
        if self._is_official and prompts.style != "native":
            raise ValueError(
                f"benchmark_prompt='official' brings its own prompts, which prompt_style={prompts.style!r} cannot change; "
                "leave one of the two at its default."
            )
        self.check()
        self._reward = self._bind_reward(prompts)
        self._reader = replace(self._reward, thinking="optional", allow_text=True)
        auto = "prompting" if self._reward.syntax == "pythonic" else "fc"
        self._sandbox = Sandbox(auto if self.bfcl_handler == "auto" else self.bfcl_handler)
        self._rules: Mapping[str, Any] = {}
        self._items = []

    def _bind_reward(self, prompts: PromptFormat) -> ToolCallReward:
        """The reward whose view is the strict share."""
        syntax = "pythonic" if prompts.style == "paper" else "auto"
        if self._is_official:
            syntax = "pythonic" if self.bfcl_handler == "prompting" else "hermes"
        prefilled = False if self._is_official else None
        reward = ToolCallReward(syntax, "bfcl", self.thinking, think_prefilled=prefilled)
        if prompts.tokenizer is None:
            return reward
        return reward.bind(prompts.tokenizer, prompts.chat_template_kwargs, prompts.think_tags, prompts.stop_token_ids)

    def items(self) -> Sequence[Item]:
        if self._items:
            return self._items
        self._rules = self._sandbox.ask("rules")
        for category in self._chosen:
            options = {"category": category, "most": self.max_per_category, "subset": self.subset}
            for entry in self._sandbox.ask("entries", **options):
                if category in MULTI_TURN:
                    row = {name: entry[name] for name in _MULTI_TURN_FIELDS if name in entry}
                else:
                    (row,) = convert_record({"ground_truth": [], **entry}, reference="bfcl")
                    row["id"] = entry["id"]
                    if self._is_official:
                        row["prompt"] = self._sandbox.ask("prompt", id=entry["id"])
                self._items.append(Item(entry["id"], category, row))
        return self._items

    def conversation(self, item: Item) -> Conversation:
        if item.category not in MULTI_TURN:
            yield item.row
            return None
        tools = json.dumps(item.row["function"])

        def to_official(completion: Completion) -> str:
            return self._to_official(completion, tools)

        return (yield from converse(item.row, self._sandbox, self._rules, to_official, self._is_official))

    def _judge(self, completion: Completion, reference: str, tools: str) -> Verdict:
        verdict = self._reward.judge(completion.text, reference, tools, token_ids=completion.completion_ids or None)
        if completion.finish_reason == "length" and verdict.state is not State.CALL:
            return verdict._replace(score=0.0, reason="truncated", state=State.MALFORMED)
        return verdict

    def _to_official(self, completion: Completion, tools: str) -> str:
        """Text as the official handler reads it, without lone surrogates, at which the official command fails."""
        if self._reward.syntax not in (
            "auto",
            "hermes",
            "pythonic",
        ):  # what the official handlers read; auto: not known
            calls = self._reader.judge(completion.text, "[]", tools, token_ids=completion.completion_ids or None).calls
            if calls:
                return "\n".join(f"<tool_call>\n{json.dumps(call._asdict())}\n</tool_call>" for call in calls)
        return completion.text.encode("utf-8", "replace").decode()

    def score(self, samples: Sequence[Sample], output_dir: Path) -> Sequence[Scored]:
        """Score with the official checkers, and write the official files, without samples that are worth 0 anyway."""
        results: dict[int, list[dict[str, Any]]] = defaultdict(list)
        verdicts: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
        scored, strict = [], []
        self._strict, self._unscorable = defaultdict(list), Counter()
        for sample in samples:
            item, number = sample.item, sample.number
            if (why := sample.unscorable) is not None:
                self._unscorable[why] += 1
                scored.append(Scored(item.id, item.category, number, 0.0, why))
                share = 0.0
            else:
                line, verdict = self._official(sample)
                results[number].append(line)
                verdicts[number][item.id] = verdict
                valid = bool(verdict["valid"])
                scored.append(Scored(item.id, item.category, number, float(valid), _reason(verdict)))
                share, why = self._strict_view(sample, valid)
            self._strict[item.category].append(share)
            strict.append({"id": item.id, "sample": number, "score": share, "reason": why})
        self._sandbox.close()
        for number, lines in results.items():
            model = self.registry_name if number == 0 else f"{self.registry_name}-sample-{number}"
            write_results(output_dir, model, lines)
            write_scores(output_dir, model, verdicts[number])
        write_json_lines(strict, output_dir / "strict.jsonl")
        return scored

    def _official(self, sample: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
        """Line of the result file, and what official code says of it."""
        line: dict[str, Any] = {"id": sample.item.id}
        try:
            if sample.item.category in MULTI_TURN:
                outcome = sample.outcome
                failed = f"Error during inference: {outcome['failure']}"
                line["result"] = outcome["turns"] if outcome["failure"] is None else failed
            else:
                text = self._to_official(sample.completions[-1], sample.item.row["tools"])
                line |= self._sandbox.ask("parse", text=text)
            if sample.item.category in MULTI_TURN and outcome["failure"] is not None:
                return line, _invalid(outcome["failure"])
            return line, self._sandbox.ask("score", id=sample.item.id, result=line["result"])
        except SandboxFailure as failure:
            return {"result": "", **line}, _invalid(f"sandbox_{failure.reason}")
        except OfficialError as error:
            return {"result": "", **line}, _invalid("official_error", str(error))

    def _strict_view(self, sample: Sample, valid: bool) -> tuple[float, str]:
        """Score and reason by our own reader: the reward's, and where it cannot compare, well-formed and valid."""
        category, row = sample.item.category, sample.item.row
        if category in MULTI_TURN:
            tools = json.dumps(row["function"])
            read = [self._judge(completion, "[]", tools) for completion in sample.completions]
            broken = next((verdict.reason for verdict in read if verdict.state is State.MALFORMED), None)
            return float(valid and broken is None), broken or ("correct" if valid else "wrong")
        verdict = self._judge(sample.completions[-1], row["reference"], row["tools"])
        if category != "live_relevance" and category not in _NOT_PYTHON:
            return verdict.score, verdict.reason
        if verdict.state is not State.CALL:
            return 0.0, "text_instead_of_call" if verdict.state is State.TEXT else verdict.reason
        return float(valid), "correct" if valid else "wrong"

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        return leaderboard(sizes)

    def summarize(self, scored: Sequence[Scored]) -> Summary:
        summary = super().summarize(scored)
        strict = {category: sum(shares) / len(shares) for category, shares in self._strict.items()}
        for row in summary.rows:
            if row.weights is not None and row.weights.keys() <= strict.keys():
                strict[row.category] = sum(weight * strict[part] for part, weight in row.weights.items())
        extra = {
            "strict": strict,
            "bfcl_eval": VERSION,
            "prompt": self.benchmark_prompt,
            "handler": self._sandbox.handler,
            "protections": list(self._sandbox.protections),
            "unscorable": dict(self._unscorable),
        }
        return replace(
            summary, extra={**summary.extra, **extra}, notes=[*summary.notes, *self._notes(summary, strict)]
        )

    def _notes(self, summary: Summary, strict: Mapping[str, float]) -> list[str]:
        prompts = "written by the official handler" if self._is_official else "rendered as in training"
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in strict.items())
        notes = [
            f"Scores: official checkers of bfcl-eval {VERSION}, handler `{self._sandbox.handler}`; prompts {prompts}.",
            f"Strict share, by the reader and the rules of the reward (think block "
            f"{self._reward.thinking or 'required'}): {shares}.",
        ]
        if self.max_per_category is not None:
            notes.append(
                f"A subset: at most {self.max_per_category} entries of each category, {self.subset}; the leaderboards "
                "use all of them."
            )
        if any(row.category.startswith("v4 overall") for row in summary.rows):
            row = next(row for row in summary.rows if row.category.startswith("v4 overall"))
            counted = row.score * (100 - AGENTIC_SHARE)
            notes.append(
                f"The agentic categories of version 4 (web search and memory, {AGENTIC_SHARE} % of its overall score) "
                f"are not evaluated. The official command counts them as 0, which makes {counted:.2f} overall."
            )
        defective = sorted(UNSATISFIABLE & {item.id for item in self._items})
        if defective:
            notes.append(f"No sensible answer satisfies the official checker on {', '.join(defective)}.")
        if self._unscorable:
            counts = ", ".join(f"{count} {reason}" for reason, count in self._unscorable.items())
            notes.append(f"Worth 0 without being judged, and left out of the official files: {counts}.")
        return notes


def _invalid(reason: str, detail: str = "") -> dict[str, Any]:
    return {"valid": False, "error": [detail or reason], "error_type": reason}


def _reason(verdict: Mapping[str, Any]) -> str:
    if verdict["valid"]:
        return "correct"
    error = verdict.get("error")
    kind = verdict.get("error_type") or (error.get("error_type") if isinstance(error, Mapping) else None)
    return str(kind or "wrong")
