"""The main job: rows and a config in, a trained model, its curves and a report out."""

from pathlib import Path
from typing import TYPE_CHECKING

from .held_out import make_bfcl_callback
from .script_arguments import EGPOScriptArguments
from .setup import check_before_loading, check_checkpoint, model_path, prepare_rows, record_config, single_steps

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import ModelConfig

    from ..egpo_config import EGPOConfig
    from ..egpo_trainer import EGPOTrainer


def build_trainer(
    script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig", train: "Dataset", held_out: "Dataset"
) -> "EGPOTrainer":
    """Trainer of a run; raises what [`EGPOTrainer`] raises."""
    from trl import get_peft_config, get_quantization_config

    from ..egpo_trainer import EGPOTrainer
    from ..environments import load_environments
    from ..rewards.tool_call import ToolCallReward
    from ..rewards.trajectory import TrajectoryReward

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
    from ..environments import load_environments
    from ..reports.before_after import print_report
    from ..reports.curves import draw_curves
    from ..reports.html_report import write_html_report
    from ..reports.run_log import read_log
    from .held_out_callback import HeldOutCallback
    from .watching import watch

    resume = check_checkpoint(args.resume_from_checkpoint)
    train, held_out = prepare_rows(script, args)
    for warning in check_before_loading(script, args, model_args, train):
        if args.process_index == 0:
            print(f"note: {warning}", flush=True)
    args.disable_tqdm = True  # ours is the only display of progress
    if {"wandb", "trackio"} & set(args.report_to or ()) and not args.log_completions:
        args.log_completions, args.num_completions_to_print = True, 0  # the table of rollouts with their reasons
    trainer = build_trainer(script, args, model_args, train, held_out)
    watch(trainer)
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
        if not can_report:
            for name in ("before.json", "after.json"):  # of an earlier run in this folder
                (output / name).unlink(missing_ok=True)
    measured = None
    if can_report:
        print(f"Measuring {criterion} on {len(held_out)} held-out rows before and after training …", flush=True)
        measured = HeldOutCallback(trainer, held_out, script.report_steps, environments)
        trainer.add_callback(measured)

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
    if measured is not None and measured.after is not None:
        places["before and after"] = output / "after.json"
    trainer.create_model_card()  # again, now with scores and curves
    if is_main:
        places["report"] = write_html_report(output)
        before, after = (measured.before, measured.after) if measured is not None else (None, None)
        print_report(before, after, places)
