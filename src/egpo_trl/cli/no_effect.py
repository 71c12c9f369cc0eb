"""Finds options that do nothing in this call, which is an error: the user expects something else."""

import re
from argparse import Namespace
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..demo.names import DEMOS
from ..evaluation.gold_sampler import GOLD


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
    return options.dataset_name in DEMOS


def _is_file(options: Any) -> bool:
    path = Path(str(options.dataset_name))
    return path.suffix in (".jsonl", ".json", ".parquet", ".csv") or path.is_file()


def _renders_here(options: Any) -> bool:
    return bool(options.backend != "openai" or options.endpoint_api == "completions")


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
    Needs("bfcl_eval_(categories|max_per_category)", ["bfcl_eval_steps"], lambda o: o.bfcl_eval_steps > 0,
          "set bfcl_eval_steps"),
    Needs("report_steps", ["report"], lambda o: o.report, "set report: true"),
    Needs("egpo_alpha|entropy_level|entropy_span", ["egpo_lambda"], lambda o: o.egpo_lambda != 0, "set egpo_lambda"),
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
_ENDPOINT = "base_url|api_key_env|concurrency|requests_per_minute|request_timeout|max_response_bytes|max_retries"
_EVALUATE = (
    Needs(f"{_ENDPOINT}|endpoint_api|tool_choice|on_rejection", ["backend"], lambda o: o.backend == "openai",
          "set backend: openai"),
    Needs("vllm_kwargs", ["backend"], lambda o: o.backend == "vllm", "set backend: vllm"),
    Needs("device|attn_implementation|batch_size|max_batch_tokens", ["backend"], lambda o: o.backend == "transformers",
          "it belongs to backend: transformers"),
    Needs("dtype|model_revision", ["backend"], lambda o: o.backend != "openai", "the endpoint has loaded its model"),
    Needs("top_k|top_p", ["temperature"], lambda o: o.temperature > 0, "set temperature above 0"),
    Needs("chat_template_path|trust_remote_code", ["backend", "endpoint_api"], _renders_here,
          "the server renders the prompts"),
    Needs("tokenizer", ["backend", "endpoint_api"], lambda o: o.backend == "openai" and o.endpoint_api == "completions",
          "set endpoint_api: completions"),
    Needs("tool_choice", ["endpoint_api"], lambda o: o.endpoint_api == "chat", "set endpoint_api: chat"),
    Needs(f"{_ENDPOINT}|endpoint_api|backend|model_revision|dtype|device|attn_implementation|temperature|top_k|top_p|"
          "max_completion_length|batch_size|max_batch_tokens|chat_template_.*|vllm_kwargs|trust_remote_code",
          ["model_name_or_path"], lambda o: o.model_name_or_path != GOLD, "the references are not sampled"),
)  # fmt: skip
_CLEAN = (
    *_ROWS,
    Needs(f"{_ENDPOINT}|structured_output", ["backend"], lambda o: o.backend == "openai", "set backend: openai"),
    Needs("vllm_kwargs", ["backend"], lambda o: o.backend == "vllm", "set backend: vllm"),
    Needs("batch_size", ["backend"], lambda o: o.backend == "transformers", "set backend: transformers"),
    Needs("model_name_or_path|seed|system_prompt_file|user_prompt_file|max_regenerations|temperature|"
          "max_completion_length|chat_template_kwargs|on_judge_failure|max_requests|max_total_tokens|fsync", ["backend"],
          lambda o: o.backend != "none", "backend: none asks no judge"),
    Needs("leak_threshold|leak_min_words", ["benchmark_questions"], lambda o: o.benchmark_questions is not None,
          "set benchmark_questions"),
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
    "convert": _PLACE,
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
                lines.setdefault(name, f"{name} does nothing here: {rule.remedy}{end}")
    return list(lines.values())
