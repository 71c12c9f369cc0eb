"""Trains on the right answers of canonical rows with TRL's own trainer: the paper's baseline."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.options import ConversationOptions
from ..data.rows import Check, Problem
from ..demo.names import DEMO
from ..tool_calls.calls import parse_reference
from ..utils.options import option
from .script_arguments import RowsArguments

_END = re.compile(r"(?:<[^<>\s]+>|\[e~\[)\s*$")  # of a turn

if TYPE_CHECKING:
    from trl import ModelConfig, SFTConfig

    from ..data.sft import Conversations


@dataclass(kw_only=True)
class SFTScriptArguments(ConversationOptions, RowsArguments):
    """Fields of `egpo-trl sft` beside those of [`~trl.SFTConfig`] and [`~trl.ModelConfig`]."""

    enable_thinking: bool | None = option(
        "Whether the model is to think, handed to the chat template; by default its own default.", None
    )


def run_sft(script: SFTScriptArguments, args: "SFTConfig", model_args: "ModelConfig") -> None:
    """Train on the right answers and save the model; raises `ValueError` for rows or a run that is known to fail."""
    from trl import SFTTrainer

    from ..data.ast_evaluation import schema_problem
    from ..data.rendering import PromptRenderer
    from ..data.sft import NO_CALL_TEXT, Conversations
    from ..demo.world import NO_TOOL_ANSWER
    from ..grpo.row_tools_trainer import check_trainable
    from ..reports.model_card import ModelCardMixin
    from .interrupt import InterruptCallback
    from .launch_checks import check_engine, detect_launch
    from .policy import check_adapter, load_tokenizer, policy_arguments
    from .run_folder import check_checkpoint, check_run_folder, describe_run, record_run
    from .setup import load_given_rows

    class Trainer(ModelCardMixin, SFTTrainer):
        """TRL's trainer with our model card."""

    output = Path(args.output_dir)
    resume = check_checkpoint(args.resume_from_checkpoint, output)
    rows = load_given_rows(script, script.bad_rows)
    notes = check_adapter(model_args) + check_engine(args, model_args, detect_launch(args.use_cpu))
    run = describe_run("sft", rows, model_args.model_name_or_path, model_args, args, script)
    is_main = args.process_index == 0
    if is_main:
        check_run_folder(output, run, resume, script.overwrite_run)
        for note in notes:
            print(f"note: {note}", flush=True)
    kwargs = {} if script.enable_thinking is None else {"enable_thinking": script.enable_thinking}
    tokenizer = load_tokenizer(model_args, args.trust_remote_code)
    conversations = Conversations(
        PromptRenderer(tokenizer, script.prompt_style, chat_template_kwargs=kwargs),
        thought_column=script.thought_column,
        no_call_text=script.no_call_text or (NO_TOOL_ANSWER if script.dataset_name == DEMO else NO_CALL_TEXT),
        write_thoughts=script.write_thoughts,
    )
    checks: list[Check] = [schema_problem, *_target_checks(conversations, script.bad_rows)]
    if args.max_length is not None and not args.packing:
        checks.append(_length_check(conversations, args.max_length))
    train = conversations.dataset(rows, script.dataset_name, checks, script.bad_rows)
    interrupt = InterruptCallback()
    trainer = Trainer(args=args, train_dataset=train, callbacks=[interrupt], **policy_arguments(model_args, args))
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


def _target_checks(conversations: "Conversations", bad_rows: str) -> list[Check]:
    """Checks that read what SFT would train on as the reward reads completions: calls must come back as the reference."""
    from ..rewards.tool_call import ToolCallReward

    renderer = conversations.renderer
    assert renderer is not None
    syntax = "pythonic" if renderer.style == "paper" else "auto"
    try:
        reward = ToolCallReward(syntax, thinking="optional").bind(renderer.tokenizer, renderer.kwargs)
    except ValueError as error:  # nothing reads the template's calls, so that no reward could
        if bad_rows == "keep":
            return []
        raise ValueError(f"{error} To train all the same, set bad_rows: 'keep'.") from None
    rewards = (reward, replace(reward, think_prefilled=False))  # the template may close the block itself

    def check(row: Mapping[str, Any]) -> Problem | None:
        if not parse_reference(row["reference"]):
            return None  # any text is right
        target = conversations.target(row)
        texts = [target]
        for _ in range(2):  # templates may end a turn and the conversation (Phi)
            texts.append(_END.sub("", texts[-1]))
        asked = (row["reference"], row.get("tools"), row["prompt"])
        verdicts = [one.judge(text, *asked) for one in rewards for text in texts]
        if any(verdict.score == 1 for verdict in verdicts):
            return None
        reason = verdicts[0].reason
        return Problem(reason, f"its answer is written as {target[:200]!r}, which the reward judges {reason!r}")

    return [check]


def _length_check(conversations: "Conversations", max_length: int) -> Check:
    """Find rows that TRL would cut, which would be trained on without a part of the prompt or of the answer."""
    renderer = conversations.renderer
    assert renderer is not None

    def check(row: Mapping[str, Any]) -> Problem | None:
        target = renderer.tokenizer(conversations.target(row), add_special_tokens=False)["input_ids"]
        length = len(renderer(row)) + len(target)
        if length <= max_length:
            return None
        return Problem("too_long", f"it has {length} tokens, and max_length {max_length} would cut it")

    return check
