"""The main job: rows and a config in, a trained model, its curves and a report out."""

import heapq
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data.loading import DEMO, DEMO_MULTI_TURN
from .data.rows import parse_row_tools
from .launch_checks import check_launch, check_lengths, check_number_of_rows, context_length, detect_launch
from .script_arguments import EGPOScriptArguments

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import ModelConfig

    from .egpo_config import EGPOConfig
    from .egpo_trainer import EGPOTrainer
    from .evaluation.bfcl.callback import BFCLCallback

_SHADED_ROWS = 32  # held-out rows whose completions are kept with the entropy of each token


def prepare_rows(script: EGPOScriptArguments, args: "EGPOConfig") -> "tuple[Dataset, Dataset]":
    """
    Rows to train on and rows held out, in the prompt style of the run.

    Args:
        script ([`EGPOScriptArguments`]):
            Where the rows come from.
        args ([`EGPOConfig`]):
            Seed and think tags.

    Returns:
        `tuple`:
            Both as [`~datasets.Dataset`].

    Raises:
        ValueError: If a row is malformed.
    """
    from .data.loading import in_paper_style, load_rows, split_by_prompt
    from .data.rows import check_rows
    from .data.trajectories import check_trajectories
    from .environments import load_environments

    rows = load_rows(script.dataset_name, script.dataset_config, script.dataset_train_split, script.num_demo_rows)
    has_trajectories = "trajectory" in rows.column_names
    check_rows(rows, script.dataset_name, ["prompt", "trajectory" if has_trajectories else "reference"])
    if has_trajectories:
        if script.prompt_style != "native":
            raise ValueError("Rows with a `trajectory` are rendered by the chat template. Use prompt_style 'native'.")
        check_trajectories(rows, script.dataset_name, load_environments(script.environments))
    if script.dataset_name in (DEMO, DEMO_MULTI_TURN):
        train, held_out = rows, load_rows(script.dataset_name, split="test", num_demo_rows=script.max_validation_rows)
    else:
        seed = args.seed if args.data_seed is None else args.data_seed
        train, held_out = split_by_prompt(rows, script.validation_share, seed)
    held_out = held_out.select(range(min(len(held_out), script.max_validation_rows)))
    if has_trajectories and script.multi_turn == "stepwise":
        train = single_steps(train, script)  # the held-out rows are judged by whole rollouts either way
    if script.prompt_style == "paper" and args.enable_thinking is False:
        raise ValueError(
            "prompt_style 'paper' asks the model to think, which contradicts enable_thinking=False. Leave "
            "enable_thinking out, or use prompt_style 'native'."
        )
    if script.prompt_style == "paper":
        start, end = args.think_tags or ("<think>", "</think>")
        train, held_out = (in_paper_style(part, (start, end)) for part in (train, held_out))
    return train, held_out


def model_path(model_args: "ModelConfig") -> str:
    """Folder or Hub id of the model: that of an embedded policy for `"demo"` (or nothing) and `"demo-multiturn"`."""
    from .demo.policy import demo_policy_path

    name = model_args.model_name_or_path
    if name == DEMO_MULTI_TURN:
        return str(demo_policy_path("multi-turn"))
    return str(demo_policy_path()) if name in (None, DEMO) else str(name)


def longest_prompt_length(rows: "Dataset", tokenizer: Any, tools_column: str | None, **template_kwargs: Any) -> int:
    """Tokens of the longest prompt, among the eight rows with the most characters."""
    columns = ["prompt", *([tools_column] if tools_column in rows.column_names else [])]

    def length(row: dict[str, Any]) -> int:
        if isinstance(row["prompt"], str):
            return len(tokenizer(row["prompt"])["input_ids"])
        tools = parse_row_tools(row[tools_column]) or None if tools_column in row else None
        kwargs = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, **template_kwargs}
        return len(tokenizer.apply_chat_template(row["prompt"], tools=tools, **kwargs)["input_ids"])

    return max(map(length, heapq.nlargest(8, rows.select_columns(columns), key=lambda row: len(str(row)))))


def check_before_loading(
    script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig", train: "Dataset"
) -> list[str]:
    """
    Every launch check that can be made before the model is loaded.

    Args:
        script ([`EGPOScriptArguments`]):
            Prompt style.
        args ([`EGPOConfig`]):
            Training.
        model_args ([`~trl.ModelConfig`]):
            Model, quantization and adapters.
        train ([`~datasets.Dataset`]):
            Rows to train on.

    Returns:
        `list[str]`:
            Warnings.

    Raises:
        ValueError: If the run is known to fail; the message names the remedy.
    """
    from transformers import AutoConfig, AutoTokenizer

    found = check_launch(args, model_args, detect_launch(args.use_cpu))
    check_number_of_rows(len(train), args)
    source = {"revision": model_args.model_revision, "trust_remote_code": args.trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(model_path(model_args), **source)
    config = AutoConfig.from_pretrained(model_path(model_args), **source)
    renders = args.render_tools and script.prompt_style == "native"
    template_kwargs: Any = args.chat_template_kwargs or {}
    longest = longest_prompt_length(train, tokenizer, "tools" if renders else None, **template_kwargs)
    return found + check_lengths(args, longest, context_length(config))


def build_trainer(
    script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig", train: "Dataset", held_out: "Dataset"
) -> "EGPOTrainer":
    """Trainer of a run; raises what [`EGPOTrainer`] raises."""
    from trl import get_peft_config, get_quantization_config

    from .egpo_trainer import EGPOTrainer
    from .environments import load_environments
    from .rewards import ToolCallReward
    from .trajectory_reward import TrajectoryReward

    args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(args.model_init_kwargs or {}),
    }
    syntax = script.tool_call_syntax
    if script.prompt_style == "paper":
        args.render_tools = False
        args.think_tags = args.think_tags or ["<think>", "</think>"]
        syntax = "pythonic" if syntax == "auto" else syntax
    calls = ToolCallReward(
        syntax=syntax,
        comparison=script.comparison,
        allow_text=script.allow_text,
        dots_as_underscores=script.dots_as_underscores,
    )
    reward: ToolCallReward | TrajectoryReward = calls
    environments = None
    if "trajectory" in train.column_names:
        environments = load_environments(script.environments)
        reward = TrajectoryReward(environments, calls)
    elif "trajectory" in held_out.column_names:
        held_out = single_steps(held_out, script)
    trainer = EGPOTrainer(
        model=model_path(model_args),
        reward_funcs=reward,
        args=args,
        train_dataset=train,
        eval_dataset=held_out if args.eval_strategy != "no" else None,
        environment_factory=environments,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    if args.fp16 and model_args.use_peft:  # TRL holds QLoRA's adapters in bfloat16, which fp16's loss scaler refuses
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer


def single_steps(rows: "Dataset", script: EGPOScriptArguments) -> "Dataset":
    """The steps of rows with a `trajectory`, one canonical row each."""
    from datasets import Dataset

    from .data.trajectories import stepwise_rows
    from .environments import load_environments

    return Dataset.from_list(list(stepwise_rows(rows, load_environments(script.environments))))


def evaluate_held_out(
    trainer: "EGPOTrainer", held_out: "Dataset", environments: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    Greedy and sampled exact match of the trainer's model on held-out rows; for rows with a `trajectory`, whatever they
    are trained by, the strict success of rollouts with executed tools.

    Args:
        trainer ([`EGPOTrainer`]):
            Trainer whose first reward judges.
        held_out ([`~datasets.Dataset`]):
            Rows.
        environments (`Mapping[str, Callable]`, *optional*):
            Environments of rows with a `trajectory`, by the name that they give.

    Returns:
        `dict`:
            What [`~egpo_trl.report.summarize`] gives. The first greedy completions have their `tokens` too: text,
            entropy at the temperature of training, and whether they are chain of thought.
    """
    from .evaluation.exact_match import Judged, judge_rows
    from .evaluation.rollouts import MAX_TOOL_ROUNDS, judge_rollouts
    from .evaluation.sampling import render_prompt
    from .evaluation.token_entropy import token_entropies
    from .report import summarize
    from .tool_guard import ToolLimits
    from .trajectory_reward import TrajectoryReward

    args = trainer.args
    model, tokenizer = trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class
    rendering = {"render_tools": args.render_tools, "chat_template_kwargs": args.chat_template_kwargs}
    rows, reward = list(held_out), trainer.reward_funcs[0]
    judge: Callable[..., list[Judged]]
    if environments is not None:
        if not isinstance(reward, TrajectoryReward):
            reward = TrajectoryReward(environments, reward)
        judge = partial(
            judge_rollouts,
            environments=environments,
            chat_template_kwargs=args.chat_template_kwargs,
            max_completion_length=args.max_completion_length,
            max_tool_rounds=args.max_tool_calling_iterations or MAX_TOOL_ROUNDS,
            limits=ToolLimits(args.tool_timeout, args.max_tool_result_characters),
        )
    else:
        judge = partial(judge_rows, **rendering, max_new_tokens=args.max_completion_length)
    sampling = {"batch_size": max(32, args.per_device_eval_batch_size), "seed": args.seed}
    judged = {
        name: judge(model, tokenizer, rows, reward, temperature=temperature, **sampling)
        for name, temperature in (("greedy", 0.0), ("sampled", args.temperature))
    }
    summary = summarize(judged, "exact match" if environments is None else "strict success")
    for shown, item in zip(summary["greedy"]["completions"][:_SHADED_ROWS], judged["greedy"], strict=False):
        shown["tokens"] = token_entropies(
            model,
            tokenizer,
            render_prompt(tokenizer, item.row, **rendering),
            item.completion_ids,
            temperature=args.temperature,
            think_tags=args.think_tags,
            tool_mask=item.tool_mask,
        )
    return summary


def make_bfcl_callback(script: EGPOScriptArguments, trainer: "EGPOTrainer") -> "BFCLCallback":
    """
    Evaluation on BFCL while the trainer trains, with the prompts and the completion length of training.

    Args:
        script ([`EGPOScriptArguments`]):
            Steps, categories and prompt style.
        trainer ([`EGPOTrainer`]):
            The trainer.

    Returns:
        [`BFCLCallback`]:
            The callback.

    Raises:
        ValueError: If several processes train or hold the model, an option is wrong, or what BFCL needs is missing.
    """
    from transformers import Trainer

    from .evaluation.bfcl.callback import BFCLCallback

    if trainer.accelerator.num_processes > 1 or trainer.is_fsdp_enabled:
        raise ValueError(
            "bfcl_eval_steps evaluates in the one process that trains, and several do. Set it to 0, save checkpoints "
            "(save_steps) and evaluate those: egpo-trl evaluate bfcl --model CHECKPOINT --output FOLDER."
        )
    args = trainer.args
    return BFCLCallback(
        script.bfcl_eval_steps,
        log=lambda logs: Trainer.log(trainer, logs),
        suite={"categories": script.bfcl_eval_categories, "max_per_category": script.bfcl_eval_per_category},
        sampling={
            "prompt_style": script.prompt_style,
            "think_tags": args.think_tags,
            "chat_template_kwargs": args.chat_template_kwargs,
            "max_new_tokens": args.max_completion_length,
            "batch_size": max(32, args.per_device_eval_batch_size),
        },
    )


def record_config(script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig") -> None:
    """Write every field of a run and the versions of its libraries into its output folder; tokens are masked."""
    from importlib.metadata import PackageNotFoundError, version

    from .run_log import save_config

    values = {**vars(model_args), **args.to_dict(), **vars(script)}
    changed = []
    for part in (script, args, model_args):
        for one in fields(part):
            default = one.default if one.default_factory is MISSING else one.default_factory()
            if getattr(part, one.name) != default:
                changed.append(one.name)
    versions = {}
    for name in ("egpo-trl", "trl", "transformers", "torch", "peft", "accelerate"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # the package is used from its sources
            continue
    save_config(values, changed, versions, Path(args.output_dir))


def check_checkpoint(path: str | None) -> str | bool | None:
    """
    What `resume_from_checkpoint` names, checked before a model is loaded.

    Args:
        path (`str`, *optional*):
            Value of the config: a folder, `"true"` for the latest checkpoint of the output folder, or nothing.

    Returns:
        `str` or `bool` or `None`:
            What [`~transformers.Trainer.train`] takes.

    Raises:
        ValueError: If the folder is no complete checkpoint.
    """
    if path is None or str(path).lower() in ("", "false"):
        return None
    if str(path).lower() == "true":
        return True
    state = Path(path) / "trainer_state.json"
    try:
        json.loads(state.read_text(encoding="utf-8"))["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"resume_from_checkpoint: {path!r} is no complete checkpoint ({state.name} is missing or broken). Name "
            "another one, or 'true' for the latest in output_dir."
        ) from None
    return str(path)


def run_training(script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig") -> None:
    """
    Train, save, and report.

    Everything is written into `args.output_dir`: the model, `trainer_state.json`, `log.jsonl`, `run_config.json`,
    `learning_curves.png` and `.svg`, `report.html`, and with a report `before.json` and `after.json`. Each file is
    written as soon as it is known.

    Args:
        script ([`EGPOScriptArguments`]):
            Rows, prompts and reward.
        args ([`EGPOConfig`]):
            Training.
        model_args ([`~trl.ModelConfig`]):
            Model, quantization and adapters.
    """
    from transformers import PrinterCallback

    from .console import ConsoleCallback
    from .curves import draw_curves
    from .environments import load_environments
    from .html_report import write_html_report
    from .log_callback import LogFileCallback
    from .report import print_report, save_summary
    from .run_log import read_log

    resume = check_checkpoint(args.resume_from_checkpoint)
    train, held_out = prepare_rows(script, args)
    for warning in check_before_loading(script, args, model_args, train):
        if args.process_index == 0:
            print(f"note: {warning}", flush=True)
    args.disable_tqdm = True  # ours is the only display of progress, in a notebook too
    trainer = build_trainer(script, args, model_args, train, held_out)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ConsoleCallback())
    trainer.add_callback(LogFileCallback())
    if script.bfcl_eval_steps:
        trainer.add_callback(make_bfcl_callback(script, trainer))

    output = Path(args.output_dir)
    is_main = trainer.accelerator.is_main_process
    environments = load_environments(script.environments) if "trajectory" in held_out.column_names else None
    criterion = "exact match" if environments is None else "strict success"
    can_report = script.report and trainer.accelerator.num_processes == 1 and not trainer.is_fsdp_enabled
    if script.report and not can_report and is_main:
        print("report: skipped, it runs on one process. Use eval_strategy: steps for held-out reward.", flush=True)
    if is_main:
        record_config(script, args, model_args)
        for name in ("after.json",) if resume else ("before.json", "after.json"):  # of an earlier run in this folder
            (output / name).unlink(missing_ok=True)
    before_file = output / "before.json"
    before = None
    if can_report:
        print(f"Measuring {criterion} on {len(held_out)} held-out rows before training …", flush=True)
        if resume and before_file.exists():
            before = json.loads(before_file.read_text(encoding="utf-8"))
        else:
            before = evaluate_held_out(trainer, held_out, environments)
            save_summary(before, before_file)

    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    trainer.save_state()

    places = {"model": output, "log": output / "trainer_state.json"}
    if is_main:
        try:
            name = f"EGPO (lambda {args.egpo_lambda}, alpha {args.egpo_alpha})" if args.egpo_lambda else "GRPO"
            log = {name: read_log(output)}
            draw_curves(log, output / "learning_curves.svg", title=name)
            places["curves"] = draw_curves(log, output / "learning_curves.png", title=name)
        except ValueError as error:  # a run too short to have logged a step
            print(f"curves: {error}")
    after = None
    if can_report and before is not None:
        print(f"Measuring {criterion} after training …", flush=True)
        after = evaluate_held_out(trainer, held_out, environments)
        save_summary(after, output / "after.json")
        places["before and after"] = output / "after.json"
    if is_main:
        places["report"] = write_html_report(output)
        print_report(before, after, places)
