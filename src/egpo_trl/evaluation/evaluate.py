"""Runs an evaluation: samples, scores, sums up, writes."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

from ..reports.before_after import question_of
from ..sampling.backends import make_sampler
from ..sampling.completion import digest
from ..sampling.config import EvaluationConfig
from ..sampling.sampler import Sampler, SamplingStopped
from ..utils.files import write_json, write_json_lines, write_text
from ..utils.versions import versions
from .gold_sampler import GOLD, GoldSampler
from .records import Item, Sample, Scored
from .runner import open_journal, run_conversations
from .suite import Suite
from .summary import Summary

JOURNAL, SCORES, SUMMARY, TABLE = "completions.jsonl", "scores.jsonl", "summary.json", "summary.md"
_LIBRARIES = ("egpo-trl", "trl", "transformers", "torch", "peft", "vllm", "openai", "bfcl-eval")


def check_items(suite: Suite, items: Sequence[Item]) -> None:
    """Raise `ValueError` if a suite is empty, or two of its items share an id."""
    if not items:
        raise ValueError(f"The suite {suite.name} is empty.")
    twice = next((name for name, count in Counter(item.id for item in items).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"The suite {suite.name} has several items under the id {twice!r}.")


def options_of(suite: Suite) -> dict[str, Any]:
    """Options of a suite that say what is asked and how it is judged, as JSON values."""
    options: dict[str, Any] = json.loads(json.dumps(asdict(suite), default=str)) if is_dataclass(suite) else {}
    return {name: value for name, value in options.items() if name not in suite.incidental}


def score_samples(suite: Suite, samples: Sequence[Sample], output: Path) -> list[Scored]:
    """Scores of all samples, in their order. One that was not sampled, or whose conversation failed, is worth 0."""
    found: dict[tuple[str, int], Scored] = {}
    for one in suite.score(samples, output):
        if (one.id, one.sample) in found:
            raise ValueError(f"The suite {suite.name} judged sample {one.sample} of {one.id!r} twice.")
        if not 0 <= one.score <= 1:
            raise ValueError(f"The suite {suite.name} gave {one.id!r} a score of {one.score}, not between 0 and 1.")
        found[one.id, one.sample] = one
    scored = []
    for sample in samples:
        item, reason = sample.item, sample.unscorable
        if reason is not None:
            scored.append(Scored(item.id, item.category, sample.number, 0.0, reason))
        elif (item.id, sample.number) in found:
            scored.append(replace(found[item.id, sample.number], category=item.category))
        else:
            raise ValueError(f"The suite {suite.name} did not judge sample {sample.number} of {item.id!r}.")
    return scored


def notes_of(samples: Sequence[Sample], sampler: Sampler) -> list[str]:
    """Lines below the table: how prompts were rendered, and which of them were not sampled."""
    counts = Counter(one.finish_reason for sample in samples for one in sample.completions)
    identity, prompts = sampler.identity, sampler.prompts
    by = "the endpoint" if prompts.tokenizer is None else f"the chat template {identity.get('template')}"
    if identity["backend"] == GOLD:
        return ["The model is the references themselves: no prompt was rendered."]
    lines = [
        f"Messages: style {prompts.style}, rendered by {by}; prompts that a suite renders itself are taken as they are. "
        f"Back end {identity['backend']}."
    ]
    if counts["prompt_too_long"]:
        lines.append(
            f"{counts['prompt_too_long']:,} prompts are longer than the model's context: not sampled, worth 0."
        )
    if counts["error"]:
        said = next(one.text for s in samples for one in s.completions if one.finish_reason == "error")
        lines.append(f"{counts['error']:,} prompts were refused, worth 0. The first: {' '.join(said.split())[:300]}")
    if counts["length"]:
        lines.append(f"{counts['length']:,} completions were cut off at the token limit.")
    failures = [sample.failure for sample in samples if sample.failure is not None]
    if failures:
        lines.append(
            f"{len(failures):,} conversations failed, worth 0. The first: {' '.join(failures[0].split())[:300]}"
        )
    return lines


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    summary: Summary
    folder: Path


def evaluate(
    suite: Suite, config: EvaluationConfig, sampler: Sampler | None = None, show_progress: bool = False
) -> Evaluation:
    """
    Evaluate a model on a suite.

    A run that was ended in any way, `kill -9` included, continues when it is called again: nothing that is in
    the journal is sampled twice.

    Args:
        suite ([`Suite`]):
            What is asked, and how it is judged.
        config ([`EvaluationConfig`]):
            Model, decoding and output.
        sampler ([`Sampler`], *optional*):
            In place of the one that `config` names.
        show_progress (`bool`, *optional*, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        [`Evaluation`]:
            The table, and where the files are.

    Raises:
        ValueError: If the input is wrong, or the folder holds another run.
        SamplingStopped: If the back end fails for good; what is sampled stays.
    """
    from ..utils.progress import progress_bar

    output = Path(config.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    model = sampler or (GoldSampler() if config.model_name_or_path == GOLD else make_sampler(config))
    try:
        suite.begin(model.prompts)
        items = suite.items()
        check_items(suite, items)
        digests = {item.id: digest(item.row) for item in items}
        belongs_to = {
            "suite": suite.name,
            "options": options_of(suite),
            "items": digest([[item.id, item.category, digests[item.id]] for item in items]),
            "sampling": dict(model.identity),
        }
        with open_journal(output / JOURNAL, belongs_to) as journal:
            with progress_bar(show_progress) as progress:
                task = progress.add_task(suite.name, total=len(items) * config.num_samples)
                try:
                    samples = run_conversations(
                        suite,
                        items,
                        model,
                        journal,
                        num_samples=config.num_samples,
                        seed=config.seed,
                        live_conversations=config.live_conversations,
                        on_completion=lambda _: progress.update(
                            task, description=f"{suite.name}, {len(journal):,} completions"
                        ),
                        on_finished=lambda: progress.advance(task),
                    )
                except SamplingStopped as error:
                    done = f"{len(journal):,} completions are in the journal"
                    raise SamplingStopped(f"{error}\n{done}; run the same command again to continue.") from error
            scored = score_samples(suite, samples, output)
            summary = suite.summarize(scored)
            summary = replace(summary, notes=[*summary.notes, *notes_of(samples, model)])
            _write(output, suite, belongs_to, samples, scored, digests, summary)
    finally:
        model.close()
    return Evaluation(summary, output)


def _write(
    output: Path,
    suite: Suite,
    belongs_to: Mapping[str, Any],
    samples: Sequence[Sample],
    scored: Sequence[Scored],
    digests: Mapping[str, str],
    summary: Summary,
) -> None:
    """Write scores, table and summary, the summary last: a folder that has one is complete."""
    counts = Counter(one.finish_reason for sample in samples for one in sample.completions)
    (output / SUMMARY).unlink(missing_ok=True)
    asked = {sample.item.id: sample.item.row.get("prompt") for sample in samples}
    requests = {name: question_of(prompt) for name, prompt in asked.items() if prompt}
    lines = ({**asdict(one), "item": digests[one.id], "request": requests.get(one.id)} for one in scored)
    write_json_lines(lines, output / SCORES)
    write_text(f"# {suite.name}\n\n{summary.markdown()}", output / TABLE)
    found = {**belongs_to, **asdict(summary), "finish_reasons": dict(counts), "versions": versions(*_LIBRARIES)}
    write_json(found, output / SUMMARY)
