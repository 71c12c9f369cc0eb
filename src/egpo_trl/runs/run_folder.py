"""Keeps the output folder of a run to that run: what it was trained on is recorded, another run is refused."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..demo.names import model_folder
from ..reports.model_card import changed_fields
from ..reports.run_log import CONFIG_FILE, LOG_FILE, read_config, save_config
from ..sampling.models import checksum_of
from ..utils.versions import versions

if TYPE_CHECKING:
    from datasets import Dataset

_STATE = "trainer_state.json"
_TRACES = (LOG_FILE, _STATE, CONFIG_FILE)  # files that only a run leaves
_OF_A_RUN = (*_TRACES, "before.json", "after.json", "held_out.jsonl", "rollouts.jsonl", "report.html",
             "learning_curves.png", "learning_curves.svg")  # fmt: skip
# Fields that may differ when the same run is started again: they do not change what is learned.
_INCIDENTAL = (
    "output_dir", "overwrite_run", "resume_from_checkpoint", "report", "report_steps", "bfcl_.*", "log.*", "report_to",
    "run_name", "disable_tqdm", "save_.*", "hub_.*", "push_to_hub", "eval_.*", "dataloader_.*", "model_init_kwargs",
    "project", "trackio_.*", "max_validation_rows", "egpo_trl_.*", "_n_gpu", "deepspeed", "fsdp.*", "ddp_.*", "local_rank",
    "num_completions_to_print", "do_.*", "vllm_server_.*", "vllm_group_port", "dataset_name", "model_name_or_path",
    "resumed_from",
)  # fmt: skip
ROWS_FIELD, MODEL_FIELD, COMMAND_FIELD = "egpo_trl_rows", "egpo_trl_model", "egpo_trl_command"


def digest_of_rows(rows: "Dataset") -> str:
    """Checksum of the contents of rows, in order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(json.dumps(row, sort_keys=True, default=str).encode())
    return total.hexdigest()[:16]


@dataclass(frozen=True)
class RunRecord:
    """Identity of a run at its start: its fields as JSON, the changed ones, and those that distinguish runs."""

    fields: Mapping[str, Any]
    changed: Sequence[str]
    identity: Mapping[str, str]


def describe_run(command: str, rows: "Dataset", model_name: str | Path | None, *parts: Any) -> RunRecord:
    """Record of a run: command, rows, model, and the data classes of its fields; tokens are masked."""
    folder = model_folder(model_name)
    identity = {
        COMMAND_FIELD: command,
        ROWS_FIELD: digest_of_rows(rows),
        MODEL_FIELD: checksum_of(folder) or str(model_name),
    }
    values: dict[str, Any] = {}
    for part in parts:
        values |= part.to_dict() if hasattr(part, "to_dict") else vars(part)
    return RunRecord(json.loads(json.dumps({**values, **identity}, default=str)), changed_fields(*parts), identity)


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], is_strict: bool) -> str | None:
    """The first way in which a recorded run differs from this one, in words."""
    words = {COMMAND_FIELD: "the command", ROWS_FIELD: "the rows", MODEL_FIELD: "the model"}
    for name, what in words.items():
        if found.get(name) != wanted[name]:
            detail = f" ({found.get(name)}, now {wanted[name]})" if name == COMMAND_FIELD else ""
            return f"{what} differ{'' if what == 'the rows' else 's'}{detail}"
    if not is_strict:
        return None
    for name, value in wanted.items():
        if name in words or any(re.fullmatch(pattern, name) for pattern in _INCIDENTAL):
            continue
        if name in found and found[name] != value:
            return f"{name} was {found[name]!r}, now {value!r}"
    return None


def check_run_folder(output: Path, run: RunRecord, resume: str | bool | None, overwrite: bool) -> None:
    """Check that a run may write into its output folder and continue the checkpoint that it names."""
    if isinstance(resume, str):
        source = Path(resume).resolve().parent
        found = read_config(source)
        difference = None if found is None else _difference(found["fields"], run.identity, is_strict=False)
        if difference is not None:
            raise ValueError(
                f"resume_from_checkpoint: {resume} belongs to another run: {difference}. To start from its weights, name "
                "it as model_name_or_path; to continue it, restore its rows and its model."
            )
        if source != output.resolve():
            resume = None  # the output folder is another one, and must not hold another run either
    if overwrite and resume is None:
        remove_run(output)
        return
    if not any((output / name).exists() for name in _TRACES) and not list(output.glob("checkpoint-*")):
        return
    found = read_config(output)
    recorded = {} if found is None else found["fields"]
    if ROWS_FIELD not in recorded:
        difference = "it lacks a record of its rows and its model"
    else:
        difference = _difference(recorded, run.fields, is_strict=resume is None)
    if difference is None:
        return
    ways = "Name another output_dir, or set overwrite_run: true to remove that run."
    if resume is None and _difference(recorded, run.fields, is_strict=False) is None:
        ways += " To continue it: resume_from_checkpoint: true."
    raise ValueError(f"output_dir: {output} holds another run: {difference}. {ways}")


def remove_run(output: Path) -> None:
    for folder in output.glob("checkpoint-*"):
        if (folder / _STATE).is_file():
            shutil.rmtree(folder)
    for name in _OF_A_RUN:
        (output / name).unlink(missing_ok=True)


def record_run(output: Path, run: RunRecord) -> None:
    """Write every field of a run and the versions of its libraries into its output folder."""
    found = versions("egpo-trl", "trl", "transformers", "torch", "peft", "accelerate")
    save_config(run.fields, run.changed, found, output)


def check_checkpoint(path: str | Path | None, output: Path) -> str | bool | None:
    """What `resume_from_checkpoint` names, checked before a model is loaded."""
    if path is None or str(path).lower() in ("", "false"):
        return None
    if str(path).lower() == "true":
        if not list(output.glob("checkpoint-*")):
            raise ValueError(
                f"resume_from_checkpoint: {output} holds no checkpoint. Leave the option out to start, or name a folder."
            )
        return True
    state = Path(path) / _STATE
    try:
        json.loads(state.read_text(encoding="utf-8"))["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"resume_from_checkpoint: {str(path)!r} is not a complete checkpoint ({state.name} is missing or broken). "
            "Name another one, or 'true' for the latest in output_dir."
        ) from None
    return str(path)
