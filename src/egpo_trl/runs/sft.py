"""Trains on the right answers of canonical rows with TRL's own trainer: the paper's baseline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..data.loading import DEMO
from ..data.prompts import PROMPT_STYLES
from ..data.rows import BAD_ROWS, BAD_ROWS_HELP, Check, Problem
from ..tool_calls.calls import parse_reference

if TYPE_CHECKING:
    from trl import ModelConfig, SFTConfig

    from ..data.sft import Conversations


@dataclass
class SFTScriptArguments:
    """Arguments of `egpo-trl sft` beside those of [`~trl.SFTConfig`] and [`~trl.ModelConfig`]."""

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
    enable_thinking: bool | None = field(
        default=None,
        metadata={"help": "Whether the model is to think, handed to the chat template; by default its own default."},
    )
    bad_rows: str = field(default="error", metadata={"help": BAD_ROWS_HELP, "choices": BAD_ROWS})


def run_sft(script: SFTScriptArguments, args: "SFTConfig", model_args: "ModelConfig") -> None:
    """Train on the right answers and save the model; raises `ValueError` for rows that cannot be trained on."""
    from transformers import AutoTokenizer
    from trl import SFTTrainer, get_peft_config, get_quantization_config

    from ..data.ast_evaluation import schema_problem
    from ..data.loading import load_rows
    from ..data.rendering import PromptRenderer
    from ..data.sft import NO_CALL_TEXT, Conversations
    from ..demo.policy import demo_policy_path
    from ..demo.world import NO_TOOL_ANSWER

    rows = load_rows(script.dataset_name, script.dataset_config, script.dataset_train_split, script.num_demo_rows)
    is_demo = model_args.model_name_or_path in (None, DEMO)
    model = str(demo_policy_path()) if is_demo else str(model_args.model_name_or_path)
    source = {"revision": model_args.model_revision, "trust_remote_code": args.trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(model, **source)
    kwargs = {} if script.enable_thinking is None else {"enable_thinking": script.enable_thinking}
    conversations = Conversations(
        PromptRenderer(tokenizer, script.prompt_style, chat_template_kwargs=kwargs),
        thought_column=script.thought_column,
        no_call_text=script.no_call_text or (NO_TOOL_ANSWER if script.dataset_name == DEMO else NO_CALL_TEXT),
    )
    checks: list[Check] = [schema_problem]
    try:
        checks.append(_TargetCheck(conversations))
    except ValueError as error:  # nothing reads the template's calls, so that no reward could
        if script.bad_rows != "keep":
            raise ValueError(f"{error} To train all the same, set bad_rows: 'keep'.") from None
    train = conversations.dataset(rows, script.dataset_name, checks, script.bad_rows)
    args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(args.model_init_kwargs or {}),
    }
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=train,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    trainer.save_state()
    trainer.accelerator.print(f"model: {args.output_dir}")


class _TargetCheck:
    """Reads what SFT would train on as the reward reads completions: calls must come back as the reference."""

    def __init__(self, conversations: "Conversations") -> None:
        from dataclasses import replace

        from ..rewards.tool_call import ToolCallReward

        renderer = conversations.renderer
        assert renderer is not None
        syntax = "pythonic" if renderer.style == "paper" else "auto"
        reward = ToolCallReward(syntax, thinking="optional").bind(renderer.tokenizer, renderer.kwargs)
        self._rewards = (reward, replace(reward, think_prefilled=False))  # the template may close the block itself
        self._conversations = conversations

    def __call__(self, row: Mapping[str, Any]) -> Problem | None:
        if not parse_reference(row["reference"]):
            return None  # any text is right
        target = self._conversations.target(row)
        asked = (row["reference"], row.get("tools"), row["prompt"])
        verdicts = [reward.judge(target, *asked) for reward in self._rewards]
        if any(verdict.score == 1 for verdict in verdicts):
            return None
        reason = verdicts[0].reason
        return Problem(reason, f"its answer is written as {target[:200]!r}, which the reward judges {reason!r}")
