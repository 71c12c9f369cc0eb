"""Holds the vocabulary of the command line: one word for one thing in every command."""

import pytest

from egpo_trl.cli.commands import COMMANDS, command_parser
from egpo_trl.cli.config_file import _OTHER_NAMES
from egpo_trl.cli.table import SUITES

LEAVES = [name for name in COMMANDS if name != "evaluate"] + [f"evaluate {suite}" for suite in SUITES]
# Every thing that an option or positional argument of ours names -> the word for it. TRL's own fields are TRL's words.
WORDS = {
    "YAML file or recipe": "config",
    "help": "help", "help with TRL's fields": "help_all",
    "rows": "dataset_name", "their configuration on the Hub": "dataset_config", "their split": "dataset_split",
    "rows of an embedded world": "num_demo_rows", "most rows of an evaluation": "max_rows",
    "folder to write": "output_dir", "file to write": "output", "format of rows in a folder": "output_format",
    "runs to read": "runs", "run to read": "run", "recipe to copy": "name", "shell": "shell",
    # the model and where it runs
    "model": "model_name_or_path", "its commit": "model_revision", "its number format": "dtype", "where it runs": "backend",
    "its device": "device", "its attention": "attn_implementation", "whether its code may run": "trust_remote_code",
    "its template": "chat_template_path", "arguments of the template": "chat_template_kwargs",
    "tokenizer of a served model": "tokenizer", "arguments of vLLM": "vllm_kwargs",
    # how it is asked
    "address of an endpoint": "base_url", "variable with the key": "api_key_env", "API of an endpoint": "endpoint_api",
    "tool choice": "tool_choice", "response format": "structured_output", "requests in flight": "concurrency",
    "requests a minute": "requests_per_minute", "seconds of a request": "request_timeout", "retries": "max_retries",
    "bytes of a response": "max_response_bytes", "refused prompts": "on_rejection", "temperature": "temperature",
    "top k": "top_k", "top p": "top_p", "longest completion": "max_completion_length", "seed": "seed",
    "prompts in a batch": "batch_size", "positions in a batch": "max_batch_tokens", "samples of a prompt": "num_samples",
    "conversations in progress": "live_conversations",
    # prompts and reward
    "who writes the functions": "prompt_style", "tags of a thought": "think_tags", "whether the model thinks": "enable_thinking",
    "whether a thought is wanted": "thinking", "functions by the template": "render_tools", "syntax": "tool_call_syntax",
    "how calls are compared": "comparison", "text with calls": "allow_text", "dots in names": "dots_as_underscores",
    "calls beyond the references": "max_extra_calls", "broken rows": "bad_rows", "long rows": "drop_long_rows",
    # training
    "the bonus": "egpo_lambda", "its clip": "egpo_alpha", "its level": "entropy_level", "its tokens": "entropy_span",
    "padding": "trim_padding", "dead rows": "drop_zero_advantages", "order of rows": "sort_by_length",
    "common prefixes": "share_prefixes", "tokens of a pass": "max_tokens_per_pass",
    "dynamic sampling": "dynamic_sampling_rounds", "seconds of a tool": "tool_timeout",
    "characters of a result": "max_tool_result_characters", "trajectories": "multi_turn", "environments": "environments",
    "other run in the folder": "overwrite_run", "project of trackers": "project", "share to hold out": "validation_share",
    "held-out rows": "validation_dataset_name", "most held-out rows": "max_validation_rows",
    "measurement before and after": "report", "steps between measurements": "report_steps",
    "steps between BFCL": "bfcl_eval_steps", "BFCL's categories in training": "bfcl_eval_categories",
    "BFCL's entries in training": "bfcl_eval_max_per_category",
    # SFT
    "columns for SFT": "sft_format", "column of thoughts": "thought_column", "thoughts made up": "write_thoughts",
    "answer without call": "no_call_text",
    # plan
    "accelerate config": "accelerate_config", "processes": "num_processes", "GPU": "gpu", "its memory": "gpu_memory",
    "parameters": "params", "config.json": "model_config", "tokens of a prompt": "prompt_length",
    # convert, tools, clean
    "format of the data": "source", "field of messages": "messages_field", "field of tools": "tools_field",
    "field of answers": "answers_field", "file of functions": "tools", "system messages": "keep_system",
    "acceptable values": "reference", "categories": "categories", "catalogue": "catalogue", "functions of a row": "num_tools",
    "stated values": "stated_only", "share without call": "no_call_share", "MCP server": "mcp", "OpenAPI": "openapi",
    "system message of the judge": "system_prompt_file", "question to the judge": "user_prompt_file",
    "corrections": "max_regenerations", "failed questions": "on_judge_failure", "budget of requests": "max_requests",
    "budget of tokens": "max_total_tokens", "duplicates": "drop_duplicates", "leaks": "benchmark_questions",
    "similarity of a leak": "leak_threshold", "words of a leak": "leak_min_words", "AST evaluation": "ast_evaluation",
    "need of a call": "call_needed", "journal on the disk": "fsync",
    # benchmarks
    "official checkout": "repo", "who writes the prompt": "benchmark_prompt", "items of a category": "max_per_category",
    "which items": "subset", "seconds of the scorer": "scorer_timeout", "language": "language", "level": "level",
    "handler": "bfcl_handler", "name in official files": "registry_name",
    # reports
    "seeds by pattern": "group", "title": "title", "in the browser": "open", "time in a run": "when", "verdict": "reason",
    "text in a rollout": "text", "order": "sort", "how many to show": "count",
}  # fmt: skip


def actions_of(command: str) -> dict[str, list[str]]:
    """Spellings of our options, and of TRL's that other commands have too, by word."""
    parser = command_parser(command)
    theirs = set(parser._inherited()) - set(WORDS.values())
    return {action.dest: action.option_strings for action in parser._actions if action.dest not in theirs}


def test_one_word_for_one_thing_and_one_thing_for_one_word():
    assert len(set(WORDS.values())) == len(WORDS)
    assert set(WORDS.values()) == {word for command in LEAVES for word in actions_of(command)}


def test_another_word_for_a_thing_leads_to_ours():
    ours = {word for command in LEAVES for word in actions_of(command)}
    known = {action.dest for action in command_parser("train")._actions} | ours
    assert set(_OTHER_NAMES.values()) <= known


@pytest.mark.parametrize("command", LEAVES)
def test_an_option_is_spelled_alike_in_every_command(command):
    for word, spellings in actions_of(command).items():
        if spellings and word != "help":
            long = f"--{word}" if word != "help_all" else "--help-all"
            allowed = {
                long,
                long.replace("_", "-"),
                long.replace("--", "--no_"),
                long.replace("_", "-").replace("--", "--no-"),
            }
            assert set(spellings) - {"--model"} <= allowed
            assert ("--model" in spellings) == (word == "model_name_or_path")


@pytest.mark.parametrize("command", LEAVES)
def test_rows_and_outputs_are_options(command):
    """Of runs, recipes and shells only is the name positional."""
    positional = {word for word, spellings in actions_of(command).items() if not spellings}
    assert positional <= {"run", "runs", "name", "shell"}
    assert not {"output", "output_dir"} <= set(actions_of(command))


@pytest.mark.parametrize("command", [command for command in LEAVES if "model_name_or_path" in actions_of(command)])
def test_the_short_form_of_the_model_is_shown_once(command):
    shown = command_parser(command).format_help()
    assert shown.count("--model_name_or_path, --model ") == 1


def test_commands_that_take_a_model():
    """A new command with a model joins them."""
    takes = {command.split()[0] for command in LEAVES if "model_name_or_path" in actions_of(command)}
    assert takes == {"train", "sft", "plan", "merge", "clean", "sft-data", "evaluate"}


def test_every_option_is_in_the_help():
    """Options that begin with `no_` are options like others."""
    for command in ("sft", "sft-data", "convert"):
        parser = command_parser(command)
        shown, theirs = parser.format_help(), parser._inherited()
        for word, spellings in actions_of(command).items():
            assert not spellings or word in theirs or spellings[0] in shown
