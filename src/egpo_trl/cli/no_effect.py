"""Finds options that were given without effect, which is an error: the user expects something else."""

import re
from argparse import Namespace
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Given:
    """Names of the options that the config file and the command line give."""

    file: Collection[str] = ()
    line: Collection[str] = ()


@dataclass(frozen=True)
class Needs:
    """Options (a pattern of names) that are read only where a test of other options holds."""

    options: str
    switches: Collection[str]  # the options that the test reads
    test: Callable[[Any], bool]
    remedy: str


def _is_demo(options: Any) -> bool:
    return str(options.dataset_name).startswith("demo")


def _is_file(options: Any) -> bool:
    return Path(str(options.dataset_name)).suffix in (".jsonl", ".json", ".parquet", ".csv")


_PLACE = (
    Needs("dataset_config", ["dataset_name"], lambda o: not _is_demo(o) and not _is_file(o),
          "it is the configuration of a data set on the Hub"),
    Needs("dataset_split", ["dataset_name"], lambda o: not _is_file(o), "a file is not divided into splits"),
)  # fmt: skip
_DEMO = Needs("num_demo_rows", ["dataset_name"], _is_demo, "it counts the rows that an embedded world makes up")
_ROWS = (*_PLACE, _DEMO)
_MODEL = (
    Needs("lora_.*|use_rslora|use_dora", ["use_peft", "model_name_or_path"], lambda o: o.use_peft,
          "set use_peft: true"),
    Needs("bnb_4bit_.*|use_bnb_nested_quant", ["load_in_4bit"], lambda o: o.load_in_4bit, "set load_in_4bit: true"),
    Needs("eval_steps", ["eval_strategy"], lambda o: o.eval_strategy == "steps", "set eval_strategy: steps"),
    Needs("save_steps", ["save_strategy"], lambda o: o.save_strategy == "steps", "set save_strategy: steps"),
    Needs("metric_for_best_model|greater_is_better", ["load_best_model_at_end"],
          lambda o: o.load_best_model_at_end or getattr(o, "lr_scheduler_type", "") == "reduce_lr_on_plateau",
          "set load_best_model_at_end: true"),
)  # fmt: skip
_TRAIN = (
    *_ROWS,
    *_MODEL,
    Needs("dataset_split|validation_share|validation_dataset_name", ["dataset_name"], lambda o: not _is_demo(o),
          "the embedded worlds have splits of their own"),
    Needs("validation_share", ["validation_dataset_name"], lambda o: o.validation_dataset_name is None,
          "validation_dataset_name gives the held-out rows"),
    Needs("bfcl_eval_(categories|per_category)", ["bfcl_eval_steps"], lambda o: o.bfcl_eval_steps > 0,
          "set bfcl_eval_steps"),
    Needs("render_tools", ["prompt_style"], lambda o: o.prompt_style == "native" or not o.render_tools,
          "prompt_style paper writes the functions into the system message"),
    Needs("vllm_.*", ["use_vllm"], lambda o: o.use_vllm, "set use_vllm: true"),
    Needs("vllm_server_(host|port|timeout|base_url)|vllm_group_port", ["use_vllm", "vllm_mode"],
          lambda o: o.vllm_mode == "server", "set vllm_mode: server"),
)  # fmt: skip
_PLAN = (
    Needs("model_name_or_path|model_config", ["params"], lambda o: o.params is None, "params gives the size"),
    Needs("model_name_or_path", ["model_config"], lambda o: o.model_config is None, "model_config describes the model"),
)  # fmt: skip
_ENDPOINT = (
    "base_url|api_key_env|concurrency|requests_per_minute|request_timeout|max_response_bytes|max_retries|"
    "backoff_seconds|max_backoff_seconds|max_retry_after"
)
_EVALUATE = (
    Needs(f"{_ENDPOINT}|endpoint_api|tool_choice|on_rejection", ["backend"], lambda o: o.backend == "openai",
          "set backend: openai"),
    Needs("vllm_kwargs", ["backend"], lambda o: o.backend == "vllm", "set backend: vllm"),
    Needs("device|attn_implementation|batch_size|max_batch_tokens", ["backend"], lambda o: o.backend == "transformers",
          "it belongs to backend: transformers"),
    Needs("dtype|revision", ["backend"], lambda o: o.backend != "openai", "the endpoint has loaded its model"),
    Needs("top_k|top_p", ["temperature"], lambda o: o.temperature > 0, "set temperature above 0"),
)  # fmt: skip
_CLEAN = (
    *_ROWS,
    Needs(f"{_ENDPOINT}|structured_output", ["judge_backend"], lambda o: o.judge_backend == "openai",
          "set judge_backend: openai"),
    Needs("judge_batch_size", ["judge_backend"], lambda o: o.judge_backend == "transformers",
          "set judge_backend: transformers"),
    Needs("judge_.*|system_prompt_file|user_prompt_file|max_regenerations|temperature|max_tokens|chat_template_kwargs|"
          "on_judge_failure|max_requests|max_total_tokens|fsync", ["judge_backend"],
          lambda o: o.judge_backend != "none", "judge_backend: none asks no judge"),
    Needs("leak_threshold|leak_min_words", ["benchmark_questions"], lambda o: o.benchmark_questions is not None,
          "set benchmark_questions"),
)  # fmt: skip
_CONVERT = (
    Needs("dataset_config|dataset_split", [], lambda o: not Path(o.name).is_file(), "a file has neither splits nor "
          "configurations"),
)  # fmt: skip
RULES: dict[str, tuple[Needs, ...]] = {
    "train": _TRAIN,
    "plan": (*_MODEL, *_PLAN),
    "sft": (*_ROWS, *_MODEL),
    "sft-data": _PLACE,
    "split": _PLACE,
    "evaluate": _EVALUATE,
    "evaluate rows": (*_EVALUATE, *_PLACE),
    "clean": _CLEAN,
    "convert": _CONVERT,
}


def without_effect(command: str, options: Namespace, given: Given) -> list[str]:
    """
    One line for each option without an effect.

    An option of the config file is let through where the command line overrides what makes it useless: so a recipe can
    be tried without vLLM or on the embedded rows.
    """
    rules = RULES.get(command, RULES.get(command.split(" ", maxsplit=1)[0], ()))
    lines: dict[str, str] = {}
    for rule in rules:
        try:
            holds = rule.test(options)
        except AttributeError:  # the command does not have what the test reads
            continue
        if holds:
            continue
        is_overridden = bool(set(rule.switches) & set(given.line))
        names = [*given.line, *(() if is_overridden else given.file)]
        for name in names:
            if re.fullmatch(rule.options, name) and name not in rule.switches:
                end = ", or remove it." if rule.remedy.startswith("set ") else ". Remove it."
                lines.setdefault(name, f"{name} has no effect here: {rule.remedy}{end}")
    return list(lines.values())
