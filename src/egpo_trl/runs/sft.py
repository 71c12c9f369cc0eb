"""Supervised fine-tuning on canonical rows with TRL's own trainer: the paper's baseline."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo.names import DEMO
from .script_arguments import RowsArguments

if TYPE_CHECKING:
    from trl import ModelConfig, SFTConfig


@dataclass
class SFTScriptArguments(RowsArguments):
    """Fields of `egpo-trl sft` beside those of [`~trl.SFTConfig`] and [`~trl.ModelConfig`]."""

    thought_column: str | None = field(
        default=None, metadata={"help": "Column with a chain of thought for the answer."}
    )
    no_call_text: str | None = field(
        default=None, metadata={"help": "Answer where text is right and the row has no text of its own."}
    )


def run_sft(script: SFTScriptArguments, args: "SFTConfig", model_args: "ModelConfig") -> None:
    """
    Train on the right answers and save the model.

    Args:
        script ([`SFTScriptArguments`]):
            Rows.
        args ([`~trl.SFTConfig`]):
            Training.
        model_args ([`~trl.ModelConfig`]):
            Model, quantization and adapters; `"demo"` is the tiny policy.

    Raises:
        ValueError: If a row is malformed, or the run is known to fail.
    """
    from trl import SFTTrainer

    from ..data.sft import NO_CALL_TEXT, to_sft_dataset
    from ..demo.world import NO_TOOL_ANSWER
    from ..grpo.row_tools_trainer import check_trainable
    from ..reports.model_card import ModelCardMixin
    from .interrupt import InterruptCallback
    from .launch_checks import check_engine, detect_launch
    from .policy import check_adapter, policy_arguments
    from .run_folder import check_checkpoint, check_run_folder, describe_run, record_run
    from .setup import load_given_rows

    class Trainer(ModelCardMixin, SFTTrainer):
        """TRL's trainer with our model card."""

    output = Path(args.output_dir)
    resume = check_checkpoint(args.resume_from_checkpoint, output)
    rows = load_given_rows(script)
    notes = check_adapter(model_args) + check_engine(args, model_args, detect_launch(args.use_cpu))
    run = describe_run("sft", rows, model_args.model_name_or_path, model_args, args, script)
    is_main = args.process_index == 0
    if is_main:
        check_run_folder(output, run, resume, script.overwrite_run)
        for note in notes:
            print(f"note: {note}", flush=True)
    default_text = NO_TOOL_ANSWER if script.dataset_name == DEMO else NO_CALL_TEXT
    conversations = to_sft_dataset(
        rows,
        thought_column=script.thought_column,
        no_call_text=script.no_call_text or default_text,
        prompt_style=script.prompt_style,
    )
    interrupt = InterruptCallback()
    trainer = Trainer(
        args=args, train_dataset=conversations, callbacks=[interrupt], **policy_arguments(model_args, args)
    )
    check_trainable(trainer.model)
    if is_main:
        record_run(output, run)
    with interrupt.listening():
        trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    trainer.save_state()
    trainer.create_model_card(dataset_name=script.dataset_name)
    interrupt.raise_if_asked(f"egpo-trl sft: interrupted at step {trainer.state.global_step}", output)
    trainer.accelerator.print(f"model: {args.output_dir}")
