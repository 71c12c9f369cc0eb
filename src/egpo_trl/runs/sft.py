"""Supervised fine-tuning on canonical rows with TRL's own trainer: the paper's baseline."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..data.loading import DEMO
from ..data.prompts import PROMPT_STYLES

if TYPE_CHECKING:
    from trl import ModelConfig, SFTConfig


@dataclass
class SFTScriptArguments:
    """
    Arguments of `egpo-trl sft` beside those of [`~trl.SFTConfig`] and [`~trl.ModelConfig`].

    Args:
        dataset_name (`str`, *optional*, defaults to `"demo"`):
            Canonical rows, as for `egpo-trl train`.
        dataset_config (`str`, *optional*):
            Configuration of a data set on the Hub.
        dataset_train_split (`str`, *optional*, defaults to `"train"`):
            Split to train on.
        num_demo_rows (`int`, *optional*, defaults to `4000`):
            Rows that the embedded world makes up.
        prompt_style (`str`, *optional*, defaults to `"native"`):
            `"native"`: the chat template renders functions and calls. `"paper"`: a system message lists the functions,
            and calls are text, as in [`~egpo_trl.data.prompts.to_messages`].
        thought_column (`str`, *optional*):
            Column that holds a chain of thought for the answer.
        no_call_text (`str`, *optional*):
            Answer where the right answer is text and the row has none in its `answer` column.
    """

    dataset_name: str = field(
        default=DEMO,
        metadata={"help": "'demo', a file (.jsonl, .json, .parquet, .csv), a folder, or a data set on the Hub."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a data set on the Hub."})
    dataset_train_split: str = field(default="train", metadata={"help": "Split to train on."})
    num_demo_rows: int = field(default=4000, metadata={"help": "Rows that the embedded world makes up."})
    prompt_style: str = field(
        default="native", metadata={"help": "How functions and calls are written.", "choices": PROMPT_STYLES}
    )
    thought_column: str | None = field(default=None, metadata={"help": "Column with a chain of thought."})
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
        ValueError: If a row is malformed.
    """
    from trl import SFTTrainer, get_peft_config, get_quantization_config

    from ..data.loading import load_rows
    from ..data.sft import NO_CALL_TEXT, to_sft_dataset
    from ..demo.policy import demo_policy_path
    from ..demo.world import NO_TOOL_ANSWER
    from ..reports.model_card import ModelCardMixin

    class Trainer(ModelCardMixin, SFTTrainer):  # type: ignore[misc]
        """TRL's trainer with our model card."""

    rows = load_rows(script.dataset_name, script.dataset_config, script.dataset_train_split, script.num_demo_rows)
    default_text = NO_TOOL_ANSWER if script.dataset_name == DEMO else NO_CALL_TEXT
    conversations = to_sft_dataset(
        rows,
        thought_column=script.thought_column,
        no_call_text=script.no_call_text or default_text,
        prompt_style=script.prompt_style,
    )
    is_demo = model_args.model_name_or_path in (None, DEMO)
    args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(args.model_init_kwargs or {}),
    }
    trainer = Trainer(
        model=str(demo_policy_path()) if is_demo else model_args.model_name_or_path,
        args=args,
        train_dataset=conversations,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    trainer.save_state()
    trainer.create_model_card(dataset_name=script.dataset_name)
    trainer.accelerator.print(f"model: {args.output_dir}")
