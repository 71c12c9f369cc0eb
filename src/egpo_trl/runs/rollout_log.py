"""[`RolloutLogCallback`]: some groups of rollouts over a run, token by token, for the browser of the report."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from ..evaluation.token_entropy import token_entropies, token_pieces
from ..reports.before_after import question_of
from ..reports.rollouts import ANSWER, ROLLOUT_FILE, THOUGHT, TOOL_RESULT
from ..reports.run_log import parse_lines
from ..utils.files import write_json_lines
from ..utils.table import Table

if TYPE_CHECKING:
    from trl import GRPOTrainer


def kinds_of(tokens: Sequence[tuple[str, float, bool]], tool_mask: Sequence[int] | None) -> list[list[Any]]:
    """Text, entropy and kind of each token, from its text, its entropy and whether it is chain of thought."""
    written = list(tool_mask or ()) or [1] * len(tokens)
    return [
        [text, round(entropy, 4), TOOL_RESULT if not own else THOUGHT if is_thought else ANSWER]
        for (text, entropy, is_thought), own in zip(tokens, written, strict=False)
    ]


class RolloutLogCallback(TrainerCallback):
    """
    Writes some groups of rollouts into `rollouts.jsonl` in the output folder, with verdict, reward, advantage and the
    entropy of every token.

    The entropies take one forward pass for each rollout that is written; training is not changed. With FSDP or DeepSpeed,
    which spread the model over processes, they are left out.

    Args:
        trainer ([`EGPOTrainer`]):
            Trainer to watch.
        groups (`int`, *optional*, defaults to `2`):
            Groups to write each time.
        times (`int`, *optional*, defaults to `20`):
            How many times over the run, at even distances.

    Example:

    ```python
    trainer.add_callback(RolloutLogCallback(trainer))
    ```
    """

    def __init__(self, trainer: "GRPOTrainer", groups: int = 2, times: int = 20) -> None:
        if groups < 1 or times < 1:
            raise ValueError(f"groups and times must be at least 1, got {groups} and {times}.")
        self._trainer, self._groups, self._times = trainer, groups, times
        self._next = 0
        self._judged: dict[tuple[int, ...], dict[str, Any]] = {}
        self._calculate, self._generate = trainer._calculate_rewards, trainer._generate_and_score_completions
        trainer._calculate_rewards = self._calculate_and_keep
        trainer._generate_and_score_completions = self._generate_and_write

    @property
    def _path(self) -> Path:
        return Path(self._trainer.args.output_dir) / ROLLOUT_FILE

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the file, or after a resumption keep what was written before the checkpoint."""
        self._next = state.global_step
        if not state.is_world_process_zero:
            return
        is_resumed = state.global_step and self._path.exists()
        lines = parse_lines(self._path.read_text(encoding="utf-8")) if is_resumed else []
        write_json_lines((line for line in lines if line["step"] <= state.global_step), self._path)

    @property
    def _is_due(self) -> bool:
        trainer = self._trainer
        is_main = bool(trainer.accelerator.is_main_process)
        return is_main and bool(trainer.model.training) and trainer.state.global_step >= self._next

    def _calculate_and_keep(
        self, inputs: Any, prompts: Sequence[Any], completions: Sequence[Any], completion_ids_list: Sequence[list[int]]
    ) -> Any:
        rewards = self._calculate(inputs, prompts, completions, completion_ids_list)
        if self._is_due:
            own = rewards[: len(prompts)]  # the main process comes first
            totals = (own * self._trainer.reward_weights.to(own.device)).nansum(dim=1).tolist()
            reasons = self._trainer._pending_extra_logs.get("reason") or [None] * len(prompts)
            for row, prompt, ids, total, reason in zip(
                inputs, prompts, completion_ids_list, totals, reasons, strict=True
            ):
                self._judged[tuple(ids)] = {
                    "prompt": prompt,
                    "reference": row.get("reference"),
                    "reason": reason or ("correct" if total > 0 else "no_reward"),
                    "reward": total,
                }
        return rewards

    def _generate_and_write(self, inputs: Any) -> Any:
        self._judged.clear()
        is_due = self._is_due
        output = self._generate(inputs)
        if is_due and self._judged:
            step, count = self._trainer.state.global_step, self._groups * self._trainer.num_generations
            rows = [{"step": step + 1, **row} for row in self._rows(output, count)]
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, default=str) + "\n" for row in rows)
            self._show_in_tensorboard(rows, step + 1)
            self._next = step + max(1, -(-self._trainer.state.max_steps // self._times))
            self._judged.clear()
        return output

    def _show_in_tensorboard(self, rows: Sequence[dict[str, Any]], step: int) -> None:
        """The same as a table of text, where TensorBoard is reported to; the other trackers get TRL's table."""
        callbacks = self._trainer.callback_handler.callbacks
        writer = next((one.tb_writer for one in callbacks if getattr(one, "tb_writer", None) is not None), None)
        if writer is not None and rows:
            # Texts as code, so that nothing in them is markup.
            texts = [
                [f"`{question_of(row[key]).replace('`', chr(39))}`" for key in ("prompt", "completion")]
                for row in rows
            ]
            lines = [[row["reason"], f"{row['reward']:g}", *own] for row, own in zip(rows, texts, strict=True)]
            writer.add_text("rollouts", Table(["reason", "reward", "request", "completion"], lines).markdown(), step)

    def _rows(self, output: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
        pad = self._trainer._tokenizer.pad_token_id
        tool_masks = output.get("tool_mask")
        for index, padded in enumerate(output["completion_ids"][:count].tolist()):
            fitting = [
                key for key in self._judged if padded[: len(key)] == list(key) and {*padded[len(key) :]} <= {pad}
            ]
            if not fitting:
                continue
            ids = max(fitting, key=len)  # a padding token may end the completion too
            prompt_ids = output["prompt_ids"][index][output["prompt_mask"][index].bool()].tolist()
            tool_mask = None if tool_masks is None else tool_masks[index].tolist()
            tokens = self._tokens(prompt_ids, ids, tool_mask)
            text = "".join(str(token[0]) for token in tokens)
            advantage = float(output["advantages"][index].flatten()[0])
            yield {**self._judged[ids], "completion": text, "advantage": advantage, "tokens": tokens}

    def _tokens(self, prompt_ids: list[int], ids: Sequence[int], tool_mask: list[int] | None) -> list[list[Any]]:
        trainer = self._trainer
        tokenizer = trainer._tokenizer
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            written = tool_mask or [1] * len(ids)
            pieces = token_pieces(tokenizer, ids)
            return [[text, None, ANSWER if own else TOOL_RESULT] for text, own in zip(pieces, written, strict=False)]
        model, args = trainer.accelerator.unwrap_model(trainer.model), trainer.args
        options = {"temperature": args.temperature, "think_tags": getattr(args, "think_tags", None)}
        return kinds_of(token_entropies(model, tokenizer, prompt_ids, ids, tool_mask=tool_mask, **options), tool_mask)
