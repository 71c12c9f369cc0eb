"""SmolLM2-135M-Instruct learns function calling on Seal-Tools: SFT, then EGPO beside GRPO, by the shipped commands.

    python benchmarks/real_model.py run --data FOLDER --model FOLDER        # continues where it was ended
    python benchmarks/real_model.py status
    python benchmarks/real_model.py collect                                 # writes benchmarks/real_model/*.csv
    python benchmarks/real_model.py table                                   # the scores in them, as in docs/real_model.md

FOLDER of the data holds Seal-Tools' dev, test_in_domain, test_out_domain and tool.jsonl; that of the model any copy of
HuggingFaceTB/SmolLM2-135M-Instruct. A stage whose result exists is left out; a training continues its last checkpoint. Arms
take turns, so that what is finished at any moment is balanced.
"""

import argparse
import csv
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_suffix("")
ARMS = {"egpo": "0.4", "grpo": "0"}  # and their egpo_lambda
FILES = {"sft": "test_in_domain", "rl": "dev", "test": "test_out_domain"}
NO_CALL_SHARE = "0.15"
BFCL = "simple_python,multiple,irrelevance"
CURVES = (
    "reward", "frac_reward_zero_std", "egpo/cot_entropy", "egpo/answer_entropy", "egpo/bonus",
    "egpo/bonus_clipped_ratio", "egpo/cot_length", "completions/mean_length", "grad_norm", "loss",
)  # fmt: skip
COSTS = "costs.jsonl"


@dataclass(frozen=True)
class Stage:
    """A command and the file that it leaves when it is done; `prepare` makes what it reads."""

    name: str
    result: Path
    command: list[str]
    prepare: Callable[[], None] | None = None

    @property
    def is_done(self) -> bool:
        return self.result.is_file()

    @property
    def words(self) -> list[str]:
        """The command, with the option that continues a training."""
        folder = self.result.parent
        resume = ["--resume_from_checkpoint", "true"] if list(folder.glob("checkpoint-*")) else []
        return [sys.executable, "-m", "egpo_trl.cli", *self.command, *resume]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    unfinished.replace(path)


def keep_easy(source: Path, target: Path) -> None:
    """Keep the records of one call."""
    write_lines(target, (line for line in source.read_text(encoding="utf-8").splitlines() if "-easy-" in line[:40]))


def keep_sometimes_right(rows: Path, scores: Path, target: Path) -> None:
    """Keep the rows that some of the policy's samples get right, and some do not: others have no gradient."""
    by_row = defaultdict(list)
    for score in read_lines(scores):
        by_row[score["id"]].append(score["score"])
    lines = rows.read_text(encoding="utf-8").splitlines()
    live = [line for line in lines if 0 < sum(by_row[json.loads(line)["id"]]) < len(by_row[json.loads(line)["id"]])]
    write_lines(target, live)


def join(sources: list[Path], target: Path) -> None:
    write_lines(target, (line for path in sources for line in path.read_text(encoding="utf-8").splitlines()))


def evaluation(out: Path, policy: str, model: Path, suite: str, name: str, *options: str) -> Stage:
    folder = out / "evaluations" / f"{policy}-{name}"
    command = [
        "evaluate", suite, "--model", str(model), "--prompt_style", "paper", "--think_tags", "<think>", "</think>",
        "--dtype", "bfloat16", "--max_completion_length", "160", "--output_dir", str(folder), *options,
    ]  # fmt: skip
    return Stage(folder.name, folder / "summary.json", command)


def greedy(out: Path, policy: str, model: Path) -> Stage:
    """Strict success on the rows of other fields of use."""
    return evaluation(out, policy, model, "rows", "greedy", "--dataset_name", str(out / "test_rows.jsonl"))


def sampled(out: Path, policy: str, model: Path, rows: Path, name: str) -> Stage:
    """Strict success at temperature 1, with four samples of each row."""
    options = ["--temperature", "1", "--num_samples", "4", "--bad_rows", "drop"]
    return evaluation(out, policy, model, "rows", name, "--dataset_name", str(rows), *options)


def training(out: Path, name: str, command: str, rows: Path, model: Path, *options: str, **kwargs: Any) -> Stage:
    config = REPOSITORY / "configs" / command / "smollm2_135m.yaml"
    folder = out / name
    words = [
        command, "--config", str(config), "--model_name_or_path", str(model), "--dataset_name", str(rows),
        "--output_dir", str(folder), *options,
    ]  # fmt: skip
    return Stage(name, folder / "trainer_state.json", words, **kwargs)


def stages(
    data: Path, model: Path, out: Path, seeds: Iterable[int], steps: int | None, per_category: int
) -> Iterator[Stage]:
    """All stages, those first that others need, then the arms in turns, then what is measured last."""
    catalogue = ["--catalogue", str(data / "tool.jsonl"), "--num_tools", "2", "--stated_only"]
    for kind, file in FILES.items():
        easy, rows = out / f"{kind}_easy.jsonl", out / f"{kind}_rows.jsonl"
        share = [] if kind == "test" else ["--no_call_share", NO_CALL_SHARE]
        yield Stage(
            f"convert {kind}", rows, ["convert", "--dataset_name", str(easy), *catalogue, *share, "--output", str(rows)],
            lambda source=data / f"{file}.jsonl", target=easy: keep_easy(source, target),
        )  # fmt: skip

    def bfcl(name: str, policy: Path) -> Stage:
        entries = ["--categories", BFCL, "--max_per_category", str(per_category)]
        return evaluation(out, name, policy, "bfcl", "bfcl", *entries)

    limit = [] if steps is None else ["--max_steps", str(steps)]
    sft, rl_rows = out / "sft", out / "rl_rows.jsonl"
    yield training(out, "sft", "sft", out / "sft_rows.jsonl", model, *limit)
    yield greedy(out, "sft", sft)
    yield bfcl("sft", sft)
    yield greedy(out, "base", model)
    chosen = sampled(out, "sft", sft, rl_rows, "rl_rows")
    yield chosen
    live = out / "live_rows.jsonl"
    policies = {"sft": sft}
    for seed in seeds:
        for arm, scale in ARMS.items():
            name = f"{arm}-{seed}"
            held_out = ["--validation_dataset_name", str(out / "test_rows.jsonl")]  # so that no row is held back
            options = [*held_out, "--egpo_lambda", scale, "--seed", str(seed), *limit]
            yield training(
                out, name, "train", live, sft, *options,
                prepare=lambda: keep_sometimes_right(rl_rows, chosen.result.with_name("scores.jsonl"), live),
            )  # fmt: skip
            yield greedy(out, name, out / name)
            policies[name] = out / name
    both = out / "both_rows.jsonl"
    yield training(
        out, "sft_both", "sft", both, model, *limit, prepare=lambda: join([out / "sft_rows.jsonl", rl_rows], both)
    )
    yield greedy(out, "sft_both", out / "sft_both")
    policies["sft_both"] = out / "sft_both"
    for name, policy in policies.items():
        yield sampled(out, name, policy, out / "test_rows.jsonl", "sampled")
    for name, policy in {"base": model, **policies}.items():
        if name != "sft":
            yield bfcl(name, policy)


def run(options: argparse.Namespace) -> None:
    """Run what is not done, one stage after the other."""
    out = options.output_dir
    out.mkdir(parents=True, exist_ok=True)
    lock = (out / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"{out} is in use by another run.") from None
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout.strip()
    environment = {"PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1", **os.environ}
    for stage in listed(options):
        if stage.is_done:
            continue
        print(f"{time.strftime('%H:%M:%S')} {stage.name}", flush=True)
        if stage.prepare:
            stage.prepare()
        start, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
        log = out / "logs" / f"{stage.name.replace(' ', '_')}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("a") as file:
            code = subprocess.run(stage.words, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cost = {"stage": stage.name, "code": code, "hours": (time.time() - start) / 3600, "cpu_hours": cpu / 3600}
        with (out / COSTS).open("a") as file:
            file.write(json.dumps({**cost, "commit": commit}) + "\n")
        if code or not stage.is_done:
            raise SystemExit(f"{stage.name} ended with exit code {code}: see {log}. The same command continues.")
        for folder in stage.result.parent.glob("checkpoint-*"):  # three times the size of the model
            shutil.rmtree(folder)
    print("all stages are done")


def listed(options: argparse.Namespace) -> list[Stage]:
    return list(
        stages(options.data, options.model, options.output_dir, options.seeds, options.steps, options.per_category)
    )


def status(options: argparse.Namespace) -> None:
    """Say what is done, what comes next, and how far a training is."""
    for stage in listed(options):
        checkpoints = [path.name for path in stage.result.parent.glob("checkpoint-*")]
        print(f"{'done' if stage.is_done else 'to do':6}{stage.name}  {' '.join(checkpoints)}".rstrip())


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} rows: {path}")


def collect(options: argparse.Namespace) -> None:
    """Write what is done as CSV: summaries, scores of single prompts, curves, costs."""
    summaries, scores, curves = [], [], []
    for stage in (stage for stage in listed(options) if stage.is_done):
        folder = stage.result.parent
        if stage.command[0] == "evaluate":
            policy, _, name = stage.name.rpartition("-")
            summary = json.loads(stage.result.read_text())
            for row in summary["rows"]:
                values = {key: round(row[key], 6) for key in ("score", "low", "high")}
                summaries.append(
                    {"policy": policy, "evaluation": name, "category": row["category"], "n": row["n"], **values}
                )
            reached = defaultdict(list)
            for score in read_lines(folder / "scores.jsonl"):
                reached[score["id"]].append(score)
            scores += [
                {
                    "policy": policy, "evaluation": name, "id": key, "samples": len(of_row),
                    "right": sum(one["score"] for one in of_row), "first_reason": of_row[0].get("reason"),
                }
                for key, of_row in reached.items()
            ]  # fmt: skip
        elif stage.command[0] in ("sft", "train"):
            for entry in json.loads(stage.result.read_text())["log_history"]:
                values = {key: round(entry[key], 5) if key in entry else "" for key in CURVES}
                if "loss" in entry or "reward" in entry:
                    curves.append({"run": stage.name, "step": entry["step"], **values})
    write_csv(options.results / "summaries.csv", summaries)
    write_csv(options.results / "scores.csv", scores)
    write_csv(options.results / "curves.csv", curves)
    costs = options.output_dir / COSTS
    if costs.exists():
        hours = ("hours", "cpu_hours")
        rounded = [{**one, **{name: round(one[name], 3) for name in hours}} for one in read_lines(costs)]
        write_csv(options.results / "costs.csv", rounded)


COLUMNS = {  # of the table: evaluation and category
    "test rows, greedy": ("greedy", "all"), "test rows, temperature 1": ("sampled", "all"),
    "BFCL simple": ("bfcl", "simple_python"), "BFCL multiple": ("bfcl", "multiple"),
    "BFCL irrelevance": ("bfcl", "irrelevance"),
}  # fmt: skip


def table(options: argparse.Namespace) -> None:
    """Print the scores in summaries.csv as Markdown, in % with 95 % intervals over the prompts, and means of the arms."""
    with (options.results / "summaries.csv").open(encoding="utf-8") as file:
        found = {(one["policy"], one["evaluation"], one["category"]): one for one in csv.DictReader(file)}
    named = dict.fromkeys(policy for policy, evaluation, _ in found if evaluation in ("greedy", "bfcl"))
    policies = sorted(named, key=lambda policy: policy != "base")  # it comes first; the order of the others stays
    shown = {title: key for title, key in COLUMNS.items() if any((policy, *key) in found for policy in policies)}
    print("| policy |" + "".join(f" {title} |" for title in shown) + "\n|---|" + "---:|" * len(shown))
    for policy in policies:
        cells = []
        for key in shown.values():
            one = found.get((policy, *key))
            score, low, high = (100 * float(one[name]) for name in ("score", "low", "high")) if one else (0, 0, 0)
            cells.append(f"{score:.1f} ({low:.1f} to {high:.1f})" if one else "")
        print(f"| {policy} | " + " | ".join(cells) + " |")
    for arm in ARMS:
        seeds = [policy for policy in policies if policy.startswith(f"{arm}-")]
        if len(seeds) > 1:
            scores = [
                [float(found[(seed, *key)]["score"]) for seed in seeds if (seed, *key) in found]
                for key in shown.values()
            ]
            cells = [f"{100 * sum(one) / len(one):.1f}" if len(one) == len(seeds) else "" for one in scores]
            print(f"| **{arm}, mean of {len(seeds)}** | " + " | ".join(cells) + " |")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "status", "collect", "table"))
    parser.add_argument("--data", type=Path, default=Path("seal_tools"), help="folder with the files of Seal-Tools")
    parser.add_argument("--model", type=Path, default=Path("SmolLM2-135M-Instruct"), help="folder of the model")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/smollm2"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--steps", type=int, help="steps of each training, to try the command out; default: the recipes'"
    )
    parser.add_argument("--per_category", type=int, default=50, help="entries of each BFCL category")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the CSV files")
    options = parser.parse_args(words)
    {"run": run, "status": status, "collect": collect, "table": table}[options.command](options)


if __name__ == "__main__":
    main()
