"""[`EGPOTrainer`]: GRPO with the entropy of the chain of thought in the advantages (EGPO, arXiv 2508.05118)."""

import textwrap
from typing import Any, ClassVar

import torch
import trl

from .advantages import shape_advantages
from .egpo_config import EGPOConfig
from .egpo_metrics import ratios, sum_statistics
from .grpo.lean_trainer import LeanGRPOTrainer
from .grpo.live_rows import live_rows, loss_mask
from .reports.model_card import ModelCardMixin
from .rollouts.think_spans import ThinkTags


class EGPOTrainer(ModelCardMixin, LeanGRPOTrainer):
    """
    Trainer for EGPO, "Reasoning through Exploration: A Reinforcement Learning Framework for Robust Function Calling"
    (arXiv 2508.05118).

    EGPO is GRPO with `A_new = A + min(lambda * E, |A| / alpha)` (Eq. 5) in place of the advantage A, where E is the
    entropy of the policy on its chain of thought, without gradient. The entropies are those of the forward pass that
    computes the loss, from logits divided by the sampling temperature. Nothing else in the loss changes.

    Its base [`LeanGRPOTrainer`] knows nothing of EGPO: it renders each row's own `tools`, guards executed ones, and
    leaves work without a gradient out of the updates.

    Example:

    ```python
    >>> from datasets import load_dataset
    >>> from egpo_trl import EGPOConfig, EGPOTrainer, ToolCallReward

    >>> trainer = EGPOTrainer(
    ...     model="Qwen/Qwen3-0.6B",
    ...     reward_funcs=ToolCallReward(),
    ...     args=EGPOConfig("qwen3-egpo", egpo_lambda=0.4, egpo_alpha=2.0),
    ...     train_dataset=load_dataset("json", data_files="rows.jsonl", split="train"),
    ... )
    >>> trainer.train()
    ```

    Args:
        model (`str` or `Path` or [`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            Policy, as for [`~trl.GRPOTrainer`]; `"demo"` and `"demo-multiturn"` are the embedded ones.
        reward_funcs (`RewardFunc | list[RewardFunc]`, *optional*):
            Reward functions, as for [`~trl.GRPOTrainer`]. A [`ToolCallReward`] that leaves its syntax or think tags
            open takes them from the tokenizer, and so does a [`TrajectoryReward`], which needs an
            `environment_factory`.
        args ([`EGPOConfig`], *optional*):
            Configuration. If `None`, the defaults of [`EGPOConfig`] are used.
        train_dataset ([`~datasets.Dataset`] or [`~datasets.IterableDataset`], *optional*):
            Rows with a `prompt`, as for [`~trl.GRPOTrainer`], and for function calling a `tools` and a `reference`
            column of JSON strings. Malformed rows of a [`~datasets.Dataset`] are an error that names them; those of an
            [`~datasets.IterableDataset`] are skipped with a warning when the stream reaches them.
        eval_dataset ([`~datasets.Dataset`], [`~datasets.IterableDataset`] or `dict` of them, *optional*):
            Rows to evaluate on, in the same form.
        processing_class ([`~transformers.PreTrainedTokenizerBase`] or [`~transformers.ProcessorMixin`], *optional*):
            Tokenizer or processor, as for [`~trl.GRPOTrainer`].
        tools (`list[Callable]`, *optional*):
            Functions or [`ExecutedTool`]s that the policy may call during a rollout. Rows with a `tools` column show
            and can call those that they name, and every call runs under the limits of the configuration.
        environment_factory (`Callable` or `dict[str, Callable]`, *optional*):
            As for [`~trl.GRPOTrainer`]; the class may hold function schemas by method name in `tool_schemas`.
        reward_processing_classes, callbacks, optimizers, quantization_config, peft_config, rollout_func (*optional*):
            As for [`~trl.GRPOTrainer`].

    Raises:
        TypeError: If `args` is not an [`EGPOConfig`].
        ValueError: If a row is malformed, the tokenizer lacks think tags, the chat template does not render tools, an
            executed tool lacks a schema, or options contradict each other.
    """

    _config_class: ClassVar[type[EGPOConfig]] = EGPOConfig
    _tag_names = ["trl", "egpo"]  # noqa: RUF012  # TRL's own mechanism
    _name = "EGPO"
    _paper = {  # noqa: RUF012
        "title": "Reasoning through Exploration: A Reinforcement Learning Framework for Robust Function Calling",
        "id": "2508.05118",
        # docstyle-ignore
        "citation": textwrap.dedent("""\
            @article{hao2025reasoning,
                title        = {{Reasoning through Exploration: A Reinforcement Learning Framework for Robust Function Calling}},
                author       = {Bingguang Hao and ZengZhuang Xu and Maolin Wang and Yuntao Wen and Yicheng Chen and Cunyin Peng and Long Chen and Dong Wang and Xiangyu Zhao and Jinjie Gu and Chenyi Zhuang and Ji Zhang},
                year         = 2025,
                eprint       = {arXiv:2508.05118},
            }"""),  # noqa: E501
    }
    _is_shaped = False  # whether the advantages of the loss being computed are

    # The algorithm

    def shape_advantages(
        self, advantages: torch.Tensor, entropies: torch.Tensor, cot_mask: torch.Tensor, logps: torch.Tensor
    ) -> torch.Tensor:
        """
        Turn group-relative advantages into those that the loss reads: Eq. 5 of EGPO. Override it for another method.

        All arguments are without gradient, and so is the result. Rows that the forward pass left out (advantage 0, see
        `drop_zero_advantages`) have entropies and log-probabilities of 0 and must keep an advantage of 0.

        Args:
            advantages (`torch.Tensor`):
                Group-relative advantages A (Eq. 1), shape (B,), or (B, T) with a token-level reward.
            entropies (`torch.Tensor`):
                Entropy of the policy at every completion token, in nats, shape (B, T).
            cot_mask (`torch.Tensor`):
                Boolean mask of the tokens whose entropy counts, shape (B, T): the chain of thought, or every token of
                the policy with `entropy_span="completion"`.
            logps (`torch.Tensor`):
                Log-probability of every completion token, shape (B, T).

        Returns:
            `torch.Tensor`:
                Shaped advantages, shape (B,) or (B, T).
        """
        if self.args.egpo_lambda == 0:  # GRPO to the last bit: the stock shape (B,) takes TRL's own path
            return advantages
        coefs = (self.args.egpo_lambda, self.args.egpo_alpha, self.args.entropy_level)
        shaped, _ = shape_advantages(advantages, entropies, cot_mask, *coefs)  # Eq. 4 and 5
        return shaped

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        logps, entropies, aux_loss = super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        if self._loss_inputs is not None and entropies is not None:  # _compute_loss reads the advantages next
            self._shape(self._loss_inputs, entropies.detach(), logps.detach())
            self._is_shaped = True
        return logps, entropies, aux_loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._is_shaped = False
        loss = super()._compute_loss(model, inputs)  # Eq. 2, with A_new for A
        if not self._is_shaped:
            raise RuntimeError(
                f"TRL {trl.__version__} computed a loss without asking for entropies first, so the advantages were not "
                "shaped. Install trl==1.16.*."
            )
        return loss

    def _shape(self, inputs: dict[str, Any], entropies: torch.Tensor, logps: torch.Tensor) -> None:
        policy_mask = loss_mask(inputs)
        cot_mask = self._cot_mask(inputs, policy_mask)
        policy_mask = policy_mask.bool()
        bonus_mask = cot_mask if self.args.entropy_span == "think" else policy_mask
        advantages = inputs["advantages"]
        shaped = self.shape_advantages(advantages, entropies, bonus_mask, logps).detach()
        self._check_dropped_rows(shaped, policy_mask)
        inputs["advantages"] = shaped
        coefs = (self.args.egpo_lambda, self.args.egpo_alpha)
        masks = (cot_mask, bonus_mask, policy_mask)
        sums = sum_statistics(advantages, shaped, entropies, *masks, *coefs, self._computed_rows)
        self._egpo_sums.setdefault(self._mode, []).append(self.accelerator.reduce(sums, reduction="sum"))

    def _cot_mask(self, inputs: dict[str, Any], policy_mask: torch.Tensor) -> torch.Tensor:
        if self._think_tags is None:
            return torch.zeros_like(policy_mask, dtype=torch.bool)
        ids = (inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_ids"])
        return self._think_tags.cot_mask(*ids, policy_mask)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode = self._mode
        if mode in self._egpo_sums:
            for name, value in ratios(torch.stack(self._egpo_sums.pop(mode)).sum(dim=0)).items():
                self._metrics[mode][name].append(value)
        super().log(logs, start_time)

    # Checks

    def _check(self, train_dataset: Any, eval_dataset: Any) -> None:
        self._egpo_sums: dict[str, list[torch.Tensor]] = {}  # of the micro-batches since the last log, by mode
        if self.args.entropy_span == "think" and self.args.egpo_lambda > 0:
            tags = self._think_tags or ThinkTags(self._tokenizer, self.args.think_tags)  # raises: says what is missing
            prompt = [{"role": "user", "content": "?"}]
            has_template = not self._is_vlm and self._tokenizer.chat_template
            if has_template and self._renderer.prompt_text(prompt, None).rstrip().endswith(tags.end):
                raise ValueError(
                    f"The chat template of {self._tokenizer.name_or_path!r} closes the think block in the prompt, so "
                    "the model does not write a chain of thought. Set enable_thinking=True, entropy_span='completion' or "
                    "egpo_lambda=0."
                )
        super()._check(train_dataset, eval_dataset)

    def _check_dropped_rows(self, shaped: torch.Tensor, policy_mask: torch.Tensor) -> None:
        """A row that the forward pass left out gets no gradient, whatever its advantage becomes."""
        live = self._computed_rows
        if live is not None and (live_rows(shaped, policy_mask) & ~live).any():
            raise RuntimeError(
                "shape_advantages gave an advantage to rows whose advantage was 0, which the forward pass left out. Set "
                "drop_zero_advantages='never'."
            )
