"""The cleaning pipeline of the paper: rows in, LLM evaluation, AST evaluation, rows out with a manifest."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..data.loading import load_rows
from ..sampling.backends import make_sampler
from ..sampling.config import SamplingConfig
from ..sampling.limits import Limits
from ..utils.files import checksum, whole, with_answer, write_json, write_rows
from ..utils.journal import Journal
from ..utils.progress import progress_bar
from ..utils.versions import versions
from .candidates import from_row
from .config import CleaningConfig
from .correction import Interviewer, Record, final_candidate
from .judges import EndpointJudge, Judge, LocalJudge
from .llm_stage import CleaningStopped, is_finished, judge_all, run_to_end
from .prompts import load_prompts
from .report import Samples, StageCount, counts_table, write_report
from .survey import Row, Survey, call_is_needed, survey

__all__ = ["CleaningReport", "CleaningStopped", "clean"]

RowEvaluation = Callable[[Row], str | None]
JOURNAL = "journal.jsonl"
_TITLES = {
    "input": "Input",
    "form": "Well-formed rows",
    "selection": "Without duplicates and leaks",
    "llm": "After LLM evaluation",
    "ast": "After AST evaluation",
}
_VERSIONS = ("egpo-trl", "datasets", "pyarrow", "jsonschema", "openai", "transformers", "bfcl-eval")


@dataclass(frozen=True)
class CleaningReport:
    """The files of a cleaning run, and for each stage `rows`, `corrected` and `dropped` by reason."""

    rows: Path
    dropped: Path
    manifest: Path
    counts: dict[str, dict[str, Any]]
    report: Path

    def print(self, console: Console | None = None) -> None:
        console = console or Console()
        counts_table(self.counts, _TITLES).print("Rows after each stage", console)
        for name in ("rows", "dropped", "manifest", "report"):
            console.print(f"{name}: {getattr(self, name)}", highlight=False, soft_wrap=True, markup=False)


def _default_evaluation(call_needed: str | None = None) -> RowEvaluation:
    from ..data.ast_evaluation import evaluate_row

    return lambda row: evaluate_row(row, call_is_needed(row, call_needed))


def make_judge(config: CleaningConfig, limits: Limits) -> Judge:
    if config.model_name_or_path is None:
        raise ValueError("model_name_or_path must name the model that judges, or set backend to none.")
    if config.backend == "openai":
        return EndpointJudge(config, limits)
    sampling = SamplingConfig(
        model_name_or_path=config.model_name_or_path, backend=config.backend, temperature=config.temperature,
        max_completion_length=config.max_completion_length, batch_size=config.batch_size,
        chat_template_kwargs=config.chat_template_kwargs, vllm_kwargs=config.vllm_kwargs,
    )  # fmt: skip
    return LocalJudge(config, make_sampler(sampling))


def clean(
    config: CleaningConfig,
    rows: Iterable[Row] | None = None,
    judge: Judge | None = None,
    evaluate_row: RowEvaluation | None = None,
    show_progress: bool = False,
) -> CleaningReport:
    """
    Clean canonical rows as in the paper: LLM evaluation with correction, then AST evaluation.

    A run that was ended in any way, `kill -9` included, continues when it is called again, and gives the output of an
    uninterrupted run. Only what had been sent and not been answered is sent again.

    Args:
        config ([`CleaningConfig`]):
            Input, judge, limits and output.
        rows (`Iterable[Mapping]`, *optional*):
            Rows to clean in place of `config.dataset_name`. They are read several times, so a generator will not do.
        judge ([`Judge`], *optional*):
            Judge in place of the one that `config` names.
        evaluate_row (`Callable`, *optional*):
            AST evaluation of a row: a reason to drop it, or `None`. By default
            `egpo_trl.data.ast_evaluation.evaluate_row`.
        show_progress (`bool`, *optional*, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        [`CleaningReport`]:
            Files and counts.

    Raises:
        ValueError: If a field is wrong, the data set is empty, or the journal in `output_dir` belongs to another run.
        CleaningStopped: If the budget is spent or the judge fails for good; what is judged stays judged.

    Example:

    ```python
    from egpo_trl.cleaning import CleaningConfig, clean

    config = CleaningConfig(output_dir="runs/clean", backend="none", num_demo_rows=100)
    clean(config).print()
    ```
    """
    if rows is None:
        rows = load_rows(config.dataset_name, config.dataset_config, config.dataset_split, config.num_demo_rows)
    if iter(rows) is rows:
        raise ValueError("rows are read several times: pass a list or a data set, not a generator.")
    if evaluate_row is not None and config.call_needed is not None:
        raise ValueError("call_needed is read by the packaged AST evaluation, not by one of your own.")
    if config.ast_evaluation and evaluate_row is None:
        evaluate_row = _default_evaluation(config.call_needed)
    with_llm = judge is not None or config.backend != "none"
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    surveyed = survey(rows, config)
    if not surveyed.unfit:
        raise ValueError(f"dataset_name: {config.dataset_name} is empty.")
    evaluation = evaluate_row if config.ast_evaluation else None
    if not with_llm:
        if (folder / JOURNAL).exists():
            raise ValueError(
                f"output_dir: {folder} holds the verdicts of a judge ({JOURNAL}), and backend 'none' would replace "
                "its result. Name another output_dir, restore the judge, or move the journal away."
            )
        return _write(config, rows, surveyed, None, evaluation, {})
    prompts = load_prompts(config.system_prompt_file, config.user_prompt_file)
    limits = Limits(config.requests_per_minute, config.max_requests, config.max_total_tokens)
    judge = judge or make_judge(config, limits)
    belongs_to = {
        "input": surveyed.fingerprint,
        "judge": dict(judge.identity),
        "prompts": prompts.fingerprint,
        "max_regenerations": config.max_regenerations,
    }
    path = folder / JOURNAL
    with Journal(path, belongs_to, lambda record: record["row"], "judge all rows again", config.fsync) as journal:
        limits.requests, limits.tokens = _spent(journal)
        done = sum(map(is_finished, journal))
        with progress_bar(show_progress) as progress:
            task = progress.add_task("LLM evaluation", total=surveyed.fit, completed=done)
            interviewer = Interviewer(judge, prompts, config, limits)
            run_to_end(judge_all(rows, surveyed, journal, interviewer, lambda: progress.advance(task)))
        return _write(config, rows, surveyed, journal, evaluation, belongs_to)


def _spent(journal: Journal) -> tuple[int, int]:
    """Requests and tokens of the run so far: they only grow, so the largest are the last."""
    spent = [(record["requests"], record["tokens"]) for record in journal]
    return max(spent, default=(0, 0))


def _write(
    config: CleaningConfig,
    rows: Iterable[Row],
    surveyed: Survey,
    journal: Journal | None,
    evaluate_row: RowEvaluation | None,
    belongs_to: Mapping[str, Any],
) -> CleaningReport:
    """Join input and journal in the order of the input, and evaluate the answers."""
    folder = Path(config.output_dir)
    manifest = folder / "manifest.json"
    manifest.unlink(missing_ok=True)  # it describes the other files, which are about to change
    stages = {name: StageCount() for name in _TITLES}
    samples = Samples()
    kept, dropped = folder / f"rows.{config.output_format}", folder / "dropped.jsonl"

    def drop(stage: str, reason: str, detail: str | None, row: Row) -> None:
        stages[stage].dropped[reason] += 1
        dropped_file.write(json.dumps({**row, "stage": stage, "reason": reason, "detail": detail}, default=str) + "\n")
        samples.add(stage, reason, row, detail=detail)

    def kept_rows() -> Iterator[Row]:
        for index, row in enumerate(rows):
            stages["input"].rows += 1
            unfit = surveyed.unfit[index]
            stages["form"].rows += unfit is None or unfit[0] != "form"
            if unfit is not None:
                drop(*unfit, row)
                continue
            stages["selection"].rows += 1
            known = None if journal is None else journal.get(index)
            record = None if known is None else Record(**known)
            answer = from_row(row) if record is None else final_candidate(row, record)
            if record is not None and record.outcome == "dropped":
                drop("llm", str(record.reason), record.attempts[-1]["reason"], row)
                continue
            corrected = record is not None and record.outcome == "corrected"
            before = row
            row = {**row, "answer": None, **(answer.columns() if corrected else {"answer": answer.text})}
            stages["llm"].rows += 1
            stages["llm"].corrected += corrected
            if corrected and record is not None:
                samples.add("llm", "corrected", row, before=before, detail=record.attempts[0]["reason"])
            reason = None if evaluate_row is None else evaluate_row(row)
            if reason is not None:
                drop("ast", reason, getattr(reason, "detail", None), row)
                continue
            stages["ast"].rows += 1
            samples.add("kept", "kept", row)
            yield row

    with whole(dropped) as partial, partial.open("w", encoding="utf-8") as dropped_file:
        write_rows(kept_rows(), kept, with_answer(getattr(rows, "features", None)))
    used = {
        "selection": config.drop_duplicates or config.benchmark_questions is not None,
        "llm": journal is not None,
        "ast": evaluate_row is not None,
    }
    counts = {name: stage.as_dict() for name, stage in stages.items() if used.get(name, True)}
    report = folder / "report.html"
    write_report(report, config.dataset_name, counts, _TITLES, samples)
    write_json(
        {
            "format": 1,
            "input": {
                "dataset_name": config.dataset_name,
                "rows": len(surveyed.unfit),
                "sha256": surveyed.fingerprint,
            },
            "verdicts": dict(belongs_to),
            "config": asdict(config),
            "versions": versions(*_VERSIONS),
            "counts": counts,
            "usage": None if journal is None else dict(zip(("requests", "tokens"), _spent(journal), strict=True)),
            "output": {path.name: checksum(path) for path in (kept, dropped)},
        },
        manifest,
    )
    return CleaningReport(kept, dropped, manifest, counts, report)
