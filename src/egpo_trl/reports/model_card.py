"""Writes the model card of a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..utils.versions import versions
from .run_log import read_config

CARD = "README.md"
_TEMPLATE = "model_card.md.jinja"
_LIBRARIES = ("egpo-trl", "trl", "transformers", "torch", "peft", "accelerate", "datasets", "tokenizers")
# Places and secrets of the machine that trained; they say nothing about the model.
_LEFT_OUT = ("output_dir", "logging_dir", "resume_from_checkpoint", "hub_token", "push_to_hub", "run_name",
             "overwrite_run")  # fmt: skip
_DECODINGS = {"greedy": "greedy decoding", "sampled": "sampled at the training temperature"}


def changed_fields(*parts: Any) -> list[str]:
    """Names of the fields of some data classes that differ from their defaults."""
    changed = []
    for part in parts:
        for one in fields(part):
            default = one.default if one.default_factory is MISSING else one.default_factory()
            if getattr(part, one.name) != default:
                changed.append(one.name)
    return changed


class ModelCardMixin:
    """Gives a trainer of TRL our model card, wherever TRL would write its own."""

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """Write the model card into the output folder."""
        trainer: Any = self
        folder = Path(trainer.args.output_dir)
        name = model_name or (trainer.hub_model_id or "").split("/")[-1] or folder.resolve().name
        super().create_model_card(name, dataset_name, tags)  # type: ignore[misc]  # metadata and tags, by TRL
        if trainer.is_world_process_zero():
            _rewrite(trainer, name, dataset_name)


def _is_hub_id(name: str | None) -> bool:
    return bool(name) and not Path(str(name)).exists() and str(name).count("/") <= 1 and not str(name).startswith(".")


def _rewrite(trainer: Any, name: str, dataset_name: str | None) -> None:
    folder, args = Path(trainer.args.output_dir), trainer.args
    config = read_config(folder) or {}
    values = {**args.to_dict(), **config.get("fields", {})}
    changed = sorted({*config.get("changed", ()), *(() if config else changed_fields(args))} - {*_LEFT_OUT})
    settings = {key: json.loads(json.dumps(values[key], default=str)) for key in changed if key in values}
    named = values.get("model_name_or_path", "demo") if config else None
    base = str(named or getattr(trainer.model.config, "_name_or_path", "") or "")
    rows = str(dataset_name or values.get("dataset_name") or "")
    card = ModelCard.load(folder / CARD)
    card.data.base_model = base if _is_hub_id(base) and "/" in base else None  # no path of the machine
    card.data.pipeline_tag = "text-generation"
    card.data.tags = sorted({*(card.data.tags or ()), "function-calling", "tool-use"})
    context = {
        "data": card.data.to_yaml().strip(),
        "name": name,
        "model_id": trainer.hub_model_id or name,
        "base": _described(base),
        "rows": _described(rows),
        "num_rows": len(trainer.train_dataset) if hasattr(trainer.train_dataset, "__len__") else None,
        "method": _method(trainer, values),
        "values": values,
        "paper": getattr(trainer, "_paper", {}),
        "steps": trainer.state.global_step,
        "scores": _scores(folder),
        "has_curves": (folder / "learning_curves.png").exists(),
        "versions": versions(*_LIBRARIES),
        "settings": yaml.safe_dump(settings, allow_unicode=True, sort_keys=True).strip(),
        "example": _example(trainer, values),
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "page"), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    environment.filters["literal"] = lambda value: json.dumps(value, ensure_ascii=False)
    text = environment.get_template(_TEMPLATE).render(**context)
    (folder / CARD).write_text(text.encode("utf-8", "replace").decode(), encoding="utf-8")


def _described(name: str) -> str:
    """A model or data set as the card names it: a link into the Hub, or the last part of a path on the machine."""
    if Path(name).parent.name == "demo":  # a folder of the package
        name = {"checkpoint": "demo", "multi_turn_checkpoint": "demo-multiturn"}.get(Path(name).name, name)
    if name in ("", "demo", "demo-multiturn"):
        return {"": "", "demo": "the embedded demo of egpo-trl"}.get(name, "the embedded multi-turn demo of egpo-trl")
    if _is_hub_id(name) and "/" in name:
        return f"`{name}`"
    return f"`{Path(name).name}` (not on the Hub)"


def _method(trainer: Any, values: Mapping[str, Any]) -> str:
    """`EGPO`, or `GRPO` for lambda 0, or `SFT`."""
    if "egpo_lambda" not in values:
        return str(trainer._name)
    return "EGPO" if values["egpo_lambda"] else "GRPO"


def _scores(folder: Path) -> dict[str, Any] | None:
    """Scores on held-out rows: criterion, number of rows, and lines of the table."""
    halves: dict[str, Any] = {}
    for half in ("before", "after"):
        path = folder / f"{half}.json"
        if path.exists():
            halves[half] = json.loads(path.read_text(encoding="utf-8"))
    if not halves:
        return None
    last = halves.get("after") or halves["before"]
    first = next(iter(last.values()))
    lines = []
    for decoding, title in _DECODINGS.items():
        for kind in last.get(decoding, {}).get("exact_match", ()):
            cells = [_score(half.get(decoding, {}), kind) for half in halves.values()]
            lines.append((f"{title}, {kind}" if kind != "all" else title, cells))
    return {
        "criterion": str(first.get("criterion", "exact match")),
        "rows": len(first["completions"]),
        "halves": list(halves),
        "lines": lines,
    }


def _score(summary: Mapping[str, Any], kind: str) -> str:
    share = summary.get("exact_match", {}).get(kind)
    if share is None:
        return ""
    interval: Sequence[float] | None = summary.get("intervals", {}).get(kind)
    between = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * share:.1f}{between}"


def _example(trainer: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """How the saved tokenizer is asked for a call: tools by the chat template, in the paper's system message, or none."""
    processor = trainer.processing_class
    tokenizer = getattr(processor, "tokenizer", processor)
    template = str(getattr(tokenizer, "chat_template", "") or "")
    style = "template" if "tools" in template else "none"
    if values.get("prompt_style") == "paper":
        style = "paper"
    options = dict(values.get("chat_template_kwargs") or {})
    if values.get("enable_thinking") is not None:
        options["enable_thinking"] = values["enable_thinking"]
    return {"style": style, "has_template": bool(template), "options": options,
            "think_tags": list(values.get("think_tags") or ["<think>", "</think>"]),
            "max_new_tokens": int(values.get("max_completion_length") or 512)}  # fmt: skip
