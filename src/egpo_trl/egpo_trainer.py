"""[`EGPOTrainer`]: TRL's [`~trl.GRPOTrainer`] with the entropy of the chain of thought in the advantages."""

import textwrap
from typing import Any

import torch
import trl
from datasets import Dataset, IterableDataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from trl import GRPOTrainer
from trl.trainer.utils import get_config_model_id

from .advantages import shape_advantages
from .data.rows import check_datasets
from .egpo_config import EGPOConfig
from .egpo_metrics import ratios, sum_statistics, weigh_means, work_statistics
from .environments.trajectories import check_trajectory_datasets
from .grpo.compact_forward import ForwardWork
from .grpo.lean_trainer import LeanTrainer
from .grpo.live_rows import loss_mask
from .reports.model_card import ModelCardMixin
from .rewards.tool_call import ToolCallReward
from .rewards.trajectory import TrajectoryReward
from .rollouts.think_spans import ThinkTags
from .rollouts.tool_guard import ToolLimits
from .trainer_checks import check_trainer

_TRL_HOOKS = (
    "_compute_loss",
    "_get_per_token_logps_and_entropies",
    "_prepare_inputs",
    "_generate_and_score_completions",
    "_tokenize_prompts",
    "_generate",
    "_get_tool_suffix_ids",
    "_calculate_rewards",
)


class EGPOTrainer(ModelCardMixin, LeanTrainer):
    """
    Trainer for EGPO, "Reasoning through Exploration: A Reinforcement Learning Framework for Robust Function Calling"
    (arXiv 2508.05118).

    EGPO is GRPO with `A_new = A + min(lambda * E, |A| / alpha)` (Eq. 5) in place of the advantage A, where E is the
    entropy of the policy on its chain of thought, without gradient. The entropies are those of the forward pass that
    computes the loss, from logits divided by the sampling temperature.

    The only change to the loss w.r.t. [`~trl.GRPOTrainer`] is that `_compute_loss` reads these advantages. Its bases add
    what has nothing to do with EGPO: [`RowToolsTrainer`] renders each row's own `tools` and guards executed ones,
    [`LeanTrainer`] leaves padding and rows without a gradient out of the forward passes, see [`EGPOConfig`].

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
        model (`str` or [`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            Policy, as for [`~trl.GRPOTrainer`].
        reward_funcs (`RewardFunc | list[RewardFunc]`, *optional*):
            Reward functions, as for [`~trl.GRPOTrainer`]. A [`ToolCallReward`] that leaves its syntax or think tags to
            be found out takes them from the tokenizer, and so does a [`TrajectoryReward`], which needs an
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
        **kwargs:
            Any other argument of [`~trl.GRPOTrainer`]. `tools` may hold [`ExecutedTool`]s; the class of an environment
            may hold function schemas by method name in an attribute `tool_schemas`. Rows with a `tools` column show
            and can call what they name, and every call runs under the limits of [`EGPOConfig`].

    Raises:
        TypeError: If `args` is no [`EGPOConfig`].
        ValueError: If a row is malformed, the tokenizer has no think tags, the chat template does not render tools, an
            executed tool has no schema, or options contradict each other.
    """

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

    def __init__(
        self,
        model: str | PreTrainedModel,
        reward_funcs: Any = None,
        args: EGPOConfig | None = None,
        train_dataset: Dataset | IterableDataset | None = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        **kwargs: Any,
    ) -> None:
        missing = [name for name in _TRL_HOOKS if not hasattr(GRPOTrainer, name)]
        if missing:
            raise ImportError(
                f"TRL {trl.__version__} has no GRPOTrainer.{missing[0]}, which EGPO overrides. Install trl==1.16.*."
            )
        if args is None:
            model_name = model if isinstance(model, str) else get_config_model_id(model.config)
            args = EGPOConfig(f"{model_name.split('/')[-1]}-EGPO")
        elif not isinstance(args, EGPOConfig):
            raise TypeError(f"args must be an EGPOConfig, got {type(args).__name__}: EGPO has fields of its own.")

        funcs = reward_funcs if isinstance(reward_funcs, list) else [] if reward_funcs is None else [reward_funcs]
        required = [] if kwargs.get("environment_factory") else ["prompt"]
        required += ["reference"] if any(isinstance(func, ToolCallReward) for func in funcs) else []
        judges_trajectories = any(isinstance(func, TrajectoryReward) for func in funcs)
        required += ["trajectory"] if judges_trajectories else []
        train_dataset, eval_dataset = check_datasets(train_dataset, eval_dataset, required)
        if judges_trajectories:
            factories = kwargs.get("environment_factory")
            train_dataset, eval_dataset = check_trajectory_datasets(train_dataset, eval_dataset, factories)

        self._shared_tools = [str(getattr(tool, "__name__", tool)) for tool in kwargs.get("tools") or ()]
        # Statistics of the micro-batches since the last log, by mode.
        self._egpo_sums: dict[str, list[torch.Tensor]] = {}
        super().__init__(
            model,
            reward_funcs=list(funcs),
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        if self._think_tags is None and self.args.entropy_span == "think" and self.args.egpo_lambda > 0:
            ThinkTags(self._tokenizer, self.args.think_tags)  # raises: says what is missing
        check_trainer(self, train_dataset, eval_dataset)
        self.reward_funcs: list[Any] = [
            self._bound(func) if isinstance(func, (ToolCallReward, TrajectoryReward)) else func
            for func in self.reward_funcs
        ]

    def _bound(self, reward: ToolCallReward | TrajectoryReward) -> ToolCallReward | TrajectoryReward:
        options = (self._tokenizer, self.chat_template_kwargs, self.args.think_tags, self.eos_token_ids)
        if isinstance(reward, TrajectoryReward):
            limits = ToolLimits(self.args.tool_timeout, self.args.max_tool_result_characters)
            return reward.bind(*options, limits=limits, shared_tools=self._shared_tools)
        return reward.bind(*options)

    # Advantages (Eq. 5)

    def _shape_advantages(
        self, inputs: dict[str, Any], entropies: torch.Tensor, live: torch.Tensor | None, work: ForwardWork | None
    ) -> None:
        policy_mask = loss_mask(inputs)
        cot_mask = self._cot_mask(inputs, policy_mask)
        policy_mask = policy_mask.bool()
        bonus_mask = cot_mask if self.args.entropy_span == "think" else policy_mask
        advantages = inputs["advantages"]
        coefs = (self.args.egpo_lambda, self.args.egpo_alpha)
        shaped, bonus = shape_advantages(advantages, entropies, bonus_mask, *coefs, self.args.entropy_level)
        if self.args.egpo_lambda != 0:  # lambda = 0 is GRPO to the last bit, so it keeps the stock shape (B,)
            inputs["advantages"] = shaped
        sums = sum_statistics(advantages, bonus, entropies, cot_mask, bonus_mask, policy_mask, *coefs, live)
        attention_mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        sums = torch.cat([sums, work_statistics(attention_mask, work)])
        mode = "train" if self.model.training else "eval"
        sums = self.accelerator.reduce(sums, reduction="sum")
        self._egpo_sums.setdefault(mode, []).append(sums)

    def _cot_mask(self, inputs: dict[str, Any], policy_mask: torch.Tensor) -> torch.Tensor:
        if self._think_tags is None:
            return torch.zeros_like(policy_mask, dtype=torch.bool)
        return self._think_tags.cot_mask(
            inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_ids"], policy_mask
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode = "train" if self.model.training else "eval"
        if mode in self._egpo_sums:
            sums = torch.stack(self._egpo_sums.pop(mode))
            for name, value in ratios(sums.sum(dim=0)).items():
                self._metrics[mode][name].append(value)
            if mode == "train" and (self._update_options.sort_by_length or self._update_options.drop_zero_advantages):
                weigh_means(self._metrics[mode], sums, self.importance_sampling_level == "token")
        super().log(logs, start_time)
