"""[`LeanGRPOTrainer`]: updates that leave out padding and rows without a gradient."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from .compact_forward import compact_forward
from .dynamic_sampling import empty_logs, put_log_rows, replace_dead_groups, sampling_cost
from .live_rows import (
    blank_rows,
    check_scored,
    live_rows,
    loss_mask,
    prompt_groups,
    select_rows,
    sort_groups,
    sort_micro_batches,
)
from .row_tools_trainer import RowToolsTrainer
from .shared_prefill import shared_prefill
from .shared_prefix import SharedPrefixes, reason_against
from .token_budget import RowSizes, deal, passes_needed
from .update_options import ROW_MEAN_LOSS_TYPES, resolve_update_options
from .work_metrics import PREFIX, clipped, mean_of_rows, weigh_means, work_ratios, work_sums

logger = logging.getLogger(__name__)


class LeanGRPOTrainer(RowToolsTrainer):
    """
    [`RowToolsTrainer`] whose updates give the same gradient with less work, see the options of [`LeanGRPOConfig`]:
    forward passes without padding and without rows whose advantage is 0, micro-batches of similar lengths, and, on
    request, further prompts in place of groups without a gradient (dynamic sampling, DAPO, arXiv 2503.14476).
    """

    _buffered_inputs: Any  # TRL's micro-batches of one generation batch
    _logs: dict[str, Any]  # TRL's table of completions
    _loss_inputs: dict[str, Any] | None = None  # copy of the micro-batch whose loss is being computed
    _computed_rows: torch.Tensor | None = None  # mask of the rows that its forward pass computed; `None` for all
    _loss_logps: torch.Tensor | None = None  # log-probabilities of that pass
    _passes_at_once: int | None = None  # scoring passes to run before the others wait for the advantages
    _passes_wait = False  # whether one does

    def _check(self, train_dataset: Any, eval_dataset: Any) -> None:
        super()._check(train_dataset, eval_dataset)
        against = (
            "the policy reads images"
            if self._is_vlm
            else reason_against(self.args, self.model, self.aux_loss_enabled, self.accelerator)
        )
        self._update_options = resolve_update_options(self.args, self.model, self.aux_loss_enabled, against)
        if against is not None and self.args.share_prefixes == "auto" and self.accelerator.is_main_process:
            logger.warning("share_prefixes: off for this policy, since %s.", against)
        shares = self._update_options.share_prefixes
        self._shared_prefixes = SharedPrefixes(self.model, self.accelerator) if shares else None
        self._work_sums: dict[str, list[torch.Tensor]] = {}  # of the micro-batches since the last log, by mode
        self._check_resumption()
        self._check_dynamic_sampling(train_dataset)

    # The loss

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        parts = self._parts(inputs)
        if len(parts) == 1:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        # Every part but the last is differentiated here, without an exchange between processes; the caller does the last.
        by_rows = self.loss_type in ROW_MEAN_LOSS_TYPES
        total = torch.zeros((), device=self.accelerator.device)
        state, synchronizes = self.accelerator.gradient_state, self.accelerator.sync_gradients
        for number, rows in enumerate(parts):
            part = {name: select_rows(value, rows) for name, value in inputs.items()}
            is_last = number == len(parts) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                loss = super().compute_loss(model, part, return_outputs, num_items_in_batch)
                loss = loss * (len(rows) / len(inputs["advantages"])) if by_rows else loss
                if is_last:
                    return loss + total  # of the other parts, without gradient
                state._set_sync_gradients(False)
                try:
                    self.accelerator.backward(loss, **({"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}))
                finally:
                    state._set_sync_gradients(synchronizes)
                total += loss.detach()
        raise AssertionError("a micro-batch has at least one part")

    def _parts(self, inputs: dict[str, Any]) -> list[list[int]]:
        """Rows of each pass over a micro-batch, as many passes on every process; one where no budget is set."""
        budget, rows = self.args.max_tokens_per_pass, len(inputs["advantages"])
        if budget is None or not self.model.training:
            return [list(range(rows))]
        live, others = list(range(rows)), []
        if self._update_options.drop_zero_advantages:
            is_live = live_rows(inputs["advantages"], loss_mask(inputs)).tolist()
            live, others = [row for row in live if is_live[row]], [row for row in live if not is_live[row]]
        order, sizes = self._sizes(inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_mask"], live)
        return deal(order, others, self._most(passes_needed(order, sizes, budget)))

    def _sizes(
        self, prompt_ids: torch.Tensor, prompt_mask: torch.Tensor, completion_mask: torch.Tensor, rows: list[int]
    ) -> tuple[list[int], RowSizes]:
        """Order of rows that suits forward passes, and what they will need."""
        prompts, completions = prompt_mask.sum(dim=1).tolist(), completion_mask.sum(dim=1).tolist()
        groups = None if self._shared_prefixes is None else prompt_groups(prompt_ids, prompt_mask)
        lengths = [a + b for a, b in zip(prompts, completions, strict=True)]
        if groups is None:
            return sorted(rows, key=lambda row: -lengths[row]), RowSizes(prompts, completions)
        return sort_groups(rows, groups, lengths), RowSizes(prompts, completions, groups)

    def _most(self, count: int) -> int:
        """The largest of a number over all processes."""
        return int(self.accelerator.gather(torch.tensor([count], device=self.accelerator.device)).max())

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._loss_inputs = dict(inputs)  # the batch itself is buffered and used again when num_iterations > 1
        try:
            loss: torch.Tensor = super()._compute_loss(model, self._loss_inputs)
            self._restore_sequence_means(self._loss_inputs)
            return loss
        finally:
            self._loss_inputs, self._computed_rows, self._loss_logps = None, None, None

    def _restore_sequence_means(self, inputs: dict[str, Any]) -> None:
        """With advantages by token, TRL's means over sequences come out as means over tokens: put theirs in place."""
        advantages, logps = inputs["advantages"], self._loss_logps
        if advantages.dim() == 1 or logps is None:
            return
        mask, old = loss_mask(inputs), inputs.get("old_per_token_logps")
        log_ratio = torch.zeros_like(logps) if old is None else logps - old
        args, values = self.args, {}
        if self.loss_type == "vespo":
            ratio = inputs.get("importance_sampling_ratio")
            positive, negative = (args.vespo_k_pos, args.vespo_lambda_pos), (args.vespo_k_neg, args.vespo_lambda_neg)
            phi = self.get_gamma_weights(advantages, log_ratio, mask, ratio, *positive, *negative)
            values = {"vespo/phi_seq_mean": phi}
        elif self.importance_sampling_level == "sequence":
            mean = (log_ratio * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
            limits = (self.epsilon_low, self.epsilon_high)
            values = clipped(mean.exp(), advantages, *limits)
        metrics = self._metrics[self._mode]
        for name in values.keys() & metrics.keys():
            rows = torch.stack([mean_of_rows(values[name].float(), mask).sum(), mask.new_tensor(len(mask)).float()])
            total, count = self.accelerator.reduce(rows, reduction="sum").tolist()
            metrics[name][-1] = total / count

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        inputs, live, work = self._loss_inputs, None, None
        batch = (input_ids, attention_mask, logits_to_keep)
        multimodal = any(value is not None for name, value in kwargs.items() if not name.startswith("compute_"))
        if multimodal or not self._update_options.any:
            output = super()._get_per_token_logps_and_entropies(model, *batch, batch_size=batch_size, **kwargs)
        elif inputs is None and self._waits_for_advantages():
            return torch.full_like(input_ids[:, -logits_to_keep:], math.nan, dtype=torch.float32), None, None
        else:
            if inputs is not None and self.model.training and self._update_options.drop_zero_advantages:
                live = live_rows(inputs["advantages"], loss_mask(inputs))
                inputs.update(blank_rows(inputs, ~live))
            output, work = self._compact_forward(model, *batch, batch_size, live, **kwargs)
        if inputs is not None:  # called by _compute_loss
            if live is not None:
                check_scored(inputs, live, output[0].detach())
            self._computed_rows, self._loss_logps = live, output[0].detach()
            sums = self.accelerator.reduce(work_sums(loss_mask(inputs), attention_mask, live, work), reduction="sum")
            self._work_sums.setdefault(self._mode, []).append(sums)
        return output

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def _compact_forward(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None,
        live: torch.Tensor | None,
        **kwargs: Any,
    ) -> Any:
        forward = partial(super()._get_per_token_logps_and_entropies, model, **kwargs)
        batch = (input_ids, attention_mask, logits_to_keep)
        shared = self._shared_prefixes
        if shared is not None and not shared.is_checked and not shared.check(model, forward, *batch):
            if self.args.share_prefixes == "always":
                raise RuntimeError(
                    "share_prefixes='always': a packed forward pass of this policy gives other log-probabilities than an "
                    "unpacked one. Set share_prefixes='never'."
                )
            logger.warning(
                "share_prefixes: a packed forward pass of this policy gives other log-probabilities than an unpacked one, "
                "so prefixes are not shared. Please report the model."
            )
            self._shared_prefixes = shared = None
        num_calls = -(-len(input_ids) // (batch_size or len(input_ids)))
        if self.args.max_tokens_per_pass is not None and self._loss_inputs is None:  # a scoring pass, without gradient
            columns = input_ids.shape[1] - logits_to_keep
            masks = (attention_mask[:, :columns], attention_mask[:, columns:])
            rows = list(range(len(input_ids))) if live is None else live.nonzero().flatten().tolist()
            order, sizes = self._sizes(input_ids[:, :columns], *masks, rows)
            num_calls = self._most(passes_needed(order, sizes, self.args.max_tokens_per_pass))
        share = None if shared is None else partial(shared.forward, model, kwargs.get("compute_entropy", False))
        width = self.pad_to_multiple_of
        return compact_forward(forward, *batch, self._update_options, live, num_calls, width, share)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        buffered = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is buffered or not self._update_options.sort_by_length:
            return inputs
        # Runs of this length never cross the border of an optimizer step.
        run = math.gcd(self.args.gradient_accumulation_steps, self.args.steps_per_generation)
        self._buffered_inputs = sort_micro_batches(
            self._buffered_inputs,
            run,
            self._update_options.drop_zero_advantages,
            by_group=self._shared_prefixes is not None,
        )
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    # Scoring by the old and the reference policy

    def _waits_for_advantages(self) -> bool:
        """Whether a pass of the old or the reference policy is to wait until the advantages tell whom it must score."""
        if self._passes_at_once is None:
            return False
        self._passes_wait = self._passes_at_once == 0
        self._passes_at_once = max(0, self._passes_at_once - 1)
        return self._passes_wait

    def _score_live_rows(self, output: dict[str, Any]) -> None:
        """Run the passes that waited. Rows without an advantage keep not a number as their log-probabilities."""
        waited, self._passes_wait = self._passes_wait, False
        if not waited:
            return
        input_ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        attention_mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        batch = (input_ids, attention_mask, output["completion_ids"].shape[1], self.args.per_device_train_batch_size)
        live = live_rows(output["advantages"], loss_mask(output))

        def score(model: Any) -> torch.Tensor:
            (logps, _, _), _ = self._compact_forward(model, *batch, live)
            masked: torch.Tensor = logps.masked_fill(~live.unsqueeze(1), math.nan)
            return masked

        with torch.no_grad(), disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
            if "old_per_token_logps" in output and not self._corrects_sampling:
                output["old_per_token_logps"] = score(self.model)
            if "ref_per_token_logps" in output:
                output["ref_per_token_logps"] = self._with_reference_model(score)

    def _with_reference_model(self, score: Callable[[Any], torch.Tensor]) -> torch.Tensor:
        if self.ref_model is not None:
            return score(self.ref_model)
        policy = self.accelerator.unwrap_model(self.model)
        with use_adapter(policy, "ref" if "ref" in policy.peft_config else None):  # as TRL does
            logps = score(self.model)
        return logps

    @property
    def _corrects_sampling(self) -> bool:
        """Whether vLLM's importance ratios are computed from the old policy, in every row and before the rewards."""
        return bool(self.use_vllm and self.vllm_importance_sampling_correction)

    # Rollouts

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        is_plain = not (self.use_vllm or self.use_transformers_continuous_batching)
        if self._shared_prefixes is None or not is_plain or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return super()._generate_single_turn(*args, **kwargs)
        with shared_prefill(self.accelerator.unwrap_model(self.model_wrapped)):
            return super()._generate_single_turn(*args, **kwargs)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        output = self._roll_out(inputs)
        if self.model.training and self.args.dynamic_sampling_rounds:
            output = self._sample_dynamically(output)
        self._score_live_rows(output)
        return output

    def _roll_out(self, inputs: list[dict[str, Any]]) -> Any:
        drops = self.model.training and self._update_options.drop_zero_advantages
        self._passes_at_once = int(self._corrects_sampling) if drops else None
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self._passes_at_once = None

    def _sample_dynamically(self, output: dict[str, Any]) -> dict[str, Any]:
        rows = self._remove_unused_columns(self.train_dataset, description="Training")
        # What seeds the order is the same on every process and after a resumption, and new for each generation.
        generator = np.random.default_rng([self.args.seed, int(self.state.num_input_tokens_seen)])
        order: list[int] = generator.permutation(len(rows)).tolist()

        fresh: list[dict[str, Any]] = []  # completions table of a round

        def roll_out(numbers: Sequence[int]) -> dict[str, Any]:
            table, self._logs = self._logs, empty_logs(self._logs)
            try:
                batch: dict[str, Any] = self._roll_out([dict(rows[number]) for number in numbers])
            finally:
                fresh.append(self._logs)
                self._logs = table
            return batch

        def move_rows(moves: dict[int, int]) -> None:
            put_log_rows(self._logs, fresh.pop(), moves, self.args.generation_batch_size)

        # TRL's metrics stay those of the first round.
        metrics, self._metrics["train"] = self._metrics["train"], defaultdict(list)
        start = time.perf_counter()
        try:
            output, rounds = replace_dead_groups(
                output,
                roll_out,
                order,
                self.num_generations,
                self.args.dynamic_sampling_rounds,
                self._tokenizer.pad_token_id,
                self.accelerator,
                move_rows,
            )
        finally:
            further, self._metrics["train"] = self._metrics["train"], metrics
        self._metrics["train"]["num_tokens"] = [self.state.num_input_tokens_seen]
        lengths = [metrics["completions/mean_length"][-1], *further["completions/mean_length"]]
        cost = sampling_cost(rounds, self.args.generation_batch_size, lengths, time.perf_counter() - start)
        for name, value in cost.items():
            self._metrics["train"][f"{PREFIX}/{name}"].append(value)
        return output

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode = self._mode
        if mode in self._work_sums:
            sums = torch.stack(self._work_sums.pop(mode))
            for name, value in work_ratios(sums.sum(dim=0)).items():
                self._metrics[mode][name].append(value)
            if mode == "train" and (self._update_options.sort_by_length or self._update_options.drop_zero_advantages):
                weigh_means(self._metrics[mode], sums, self.importance_sampling_level == "token")
        super().log(logs, start_time)

    # Checks

    def _check_resumption(self) -> None:
        """Rollouts are not saved, so only a run resumed between generations ends where the whole run does."""
        args = self.args
        steps = args.steps_per_generation * self.num_iterations / args.gradient_accumulation_steps
        if args.save_strategy == "steps" and args.save_steps >= 1 and args.save_steps % max(1, steps):
            logger.warning(
                "save_steps=%s is not a multiple of %s, the optimizer steps of one generation: a run resumed from a "
                "checkpoint in between samples anew and ends with other weights than an uninterrupted one.",
                args.save_steps,
                math.ceil(steps),
            )

    def _check_dynamic_sampling(self, train_dataset: Any) -> None:
        """Further prompts are taken by their row numbers, and their rollouts exchanged as text."""
        if not self.args.dynamic_sampling_rounds:
            return
        if train_dataset is not None and not isinstance(train_dataset, Dataset):
            raise ValueError(
                "dynamic_sampling_rounds takes further prompts from anywhere in the rows, which a stream does not offer. "
                "Load the rows into memory (streaming=False), or set dynamic_sampling_rounds=0."
            )
        if self._is_vlm:
            raise ValueError("dynamic_sampling_rounds is for text models only. Set it to 0 for this model.")
