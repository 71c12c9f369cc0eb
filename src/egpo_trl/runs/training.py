"""The main job: rows and a config in, a trained model, its curves and a report out."""

from pathlib import Path
from typing import TYPE_CHECKING

from .held_out import HELD_OUT_FILE, few_rows_warning, make_bfcl_callback
from .policy import policy_arguments
from .run_folder import check_checkpoint, check_run_folder, describe_run, record_run
from .script_arguments import EGPOScriptArguments
from .setup import check_before_loading, prepare_rows, single_steps

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import ModelConfig

    from ..egpo_config import EGPOConfig
    from ..egpo_trainer import EGPOTrainer
    from ..rewards.tool_call import ToolCallReward


def build_trainer(
    script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig", train: "Dataset", held_out: "Dataset"
) -> "EGPOTrainer":
    from ..egpo_trainer import EGPOTrainer
    from ..environments import load_environments
    from ..rewards.trajectory import TrajectoryReward

    if script.prompt_style == "paper":
        args.render_tools = False
        args.think_tags = args.think_tags or ["<think>", "</think>"]
    calls = script.tool_call_reward(script.prompt_style)
    reward: ToolCallReward | TrajectoryReward = calls
    environments = None
    if "trajectory" in train.column_names:
        environments = load_environments(script.environments)
        reward = TrajectoryReward(environments, calls, max_extra_calls=script.max_extra_calls)
    elif "trajectory" in held_out.column_names:
        held_out = single_steps(held_out, script)
    trainer = EGPOTrainer(
        reward_funcs=reward,
        args=args,
        train_dataset=train,
        eval_dataset=held_out if args.eval_strategy != "no" else None,
        environment_factory=environments,
        **policy_arguments(model_args, args),
    )
    if args.fp16 and model_args.use_peft:  # TRL holds QLoRA's adapters in bfloat16, which fp16's loss scaler refuses
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer


def _choose_best_by_reward(args: "EGPOConfig") -> list[str]:
    """Make `load_best_model_at_end` pick by held-out reward: the loss of GRPO says nothing about a model."""
    if not args.load_best_model_at_end or args.metric_for_best_model not in (None, "loss", "eval_loss"):
        return []
    args.metric_for_best_model, args.greater_is_better = "eval_reward", True
    return ["load_best_model_at_end picks by eval_reward, the reward on the held-out rows."]


def _draw(output: Path, args: "EGPOConfig") -> dict[str, Path]:
    """Draw the curves of a run; the place of the picture, unless no step was logged."""
    from ..reports.curves import draw_curves
    from ..reports.run_log import read_log

    try:
        name = f"EGPO (lambda {args.egpo_lambda}, alpha {args.egpo_alpha})" if args.egpo_lambda else "GRPO"
        log = {name: read_log(output)}
        draw_curves(log, output / "learning_curves.svg", title=name)
        return {"curves": draw_curves(log, output / "learning_curves.png", title=name)}
    except ValueError as error:  # a run too short to have logged a step
        print(f"curves: {error}")
        return {}


def run_training(script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig") -> None:
    """
    Train, save, and report.

    Everything is written into `args.output_dir`: the model, `trainer_state.json`, `log.jsonl`, `run_config.json`,
    `held_out.jsonl`, `learning_curves.png` and `.svg`, `report.html`, and with a report `before.json` and `after.json`.
    Each file is written as soon as it is known. Ctrl-C ends the run after the current step, saved.

    Args:
        script ([`EGPOScriptArguments`]):
            Rows, prompts and reward.
        args ([`EGPOConfig`]):
            Training.
        model_args ([`~trl.ModelConfig`]):
            Model, quantization and adapters.

    Raises:
        ValueError: If a row is malformed, the folder holds another run, or the run is known to fail.
        Interrupted: After Ctrl-C, when everything is saved.
    """
    from ..environments import load_environments
    from ..reports.before_after import print_report
    from ..reports.html_report import write_html_report
    from ..utils.files import write_rows
    from .held_out_callback import HeldOutCallback
    from .interrupt import InterruptCallback
    from .learning_watch import LearningWatch
    from .watching import watch

    output = Path(args.output_dir)
    resume = check_checkpoint(args.resume_from_checkpoint, output)
    rows = prepare_rows(script, args)
    run = describe_run("train", rows.given, model_args.model_name_or_path, model_args, args, script)
    if args.process_index == 0:
        check_run_folder(output, run, resume, script.overwrite_run)
    rows, notes = check_before_loading(script, args, model_args, rows)
    held_out = rows.held_out
    for note in [*notes, *few_rows_warning(len(held_out)), *_choose_best_by_reward(args)]:
        if args.process_index == 0:
            print(f"note: {note}", flush=True)
    args.disable_tqdm = True  # ours is the only display of progress
    if {"wandb", "trackio"} & set(args.report_to or ()) and not args.log_completions:
        args.log_completions, args.num_completions_to_print = True, 0  # the table of rollouts with their reasons
    trainer = build_trainer(script, args, model_args, rows.train, held_out)
    if ("trajectory" in rows.train.column_names) == ("trajectory" in held_out.column_names):
        held_out = trainer.check_rows("held-out rows", held_out)  # else they are judged by whole rollouts
    interrupt = InterruptCallback()
    watch(trainer)
    for callback in (LearningWatch(), interrupt):
        trainer.add_callback(callback)
    if script.bfcl_eval_steps:
        trainer.add_callback(make_bfcl_callback(script, trainer))

    is_main = trainer.accelerator.is_main_process
    environments = load_environments(script.environments) if "trajectory" in held_out.column_names else None
    criterion = "exact match" if environments is None else "strict success"
    can_report = script.report and trainer.accelerator.num_processes == 1 and not trainer.is_fsdp_enabled
    if script.report and not can_report and is_main:
        print("report: skipped, it runs on one process. Use eval_strategy: steps for held-out reward.", flush=True)
    if is_main:
        record_run(output, run)
        write_rows(rows.given_held_out, output / HELD_OUT_FILE, rows.given_held_out.features)
        for name in ("after.json",) if resume else ("before.json", "after.json"):  # of an earlier run in this folder
            (output / name).unlink(missing_ok=True)
    measured = None
    if can_report:
        print(f"Measuring {criterion} on {len(held_out)} held-out rows before and after training …", flush=True)
        measured = HeldOutCallback(
            trainer, held_out, script.report_steps, environments, skips_end=lambda: interrupt.was_asked
        )
        trainer.add_callback(measured)

    with interrupt.listening():
        trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    trainer.save_state()

    places = {"model": output, "log": output / "trainer_state.json"}
    if is_main:
        places |= _draw(output, args)
    before, after = (measured.before, measured.after) if measured is not None else (None, None)
    if after is not None:
        places["before and after"] = output / "after.json"
    trainer.create_model_card()  # again, now with scores and curves
    if is_main:
        places["report"] = write_html_report(output)
        print_report(before, after, places)
    state = trainer.state
    interrupt.raise_if_asked(f"egpo-trl train: interrupted at step {state.global_step} of {state.max_steps}", output)
