"""[`EGPOTrainer`]: TRL's [`~trl.GRPOTrainer`] with the entropy of the chain of thought in the advantages."""

import math
import textwrap
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
import trl
from datasets import Dataset, IterableDataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from trl import GRPOTrainer
from trl.data_utils import is_conversational
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import get_config_model_id

from .advantages import shape_advantages
from .compact_forward import ForwardWork, compact_forward
from .data.rows import check_datasets, parse_row_tools
from .data.trajectories import check_trajectory_datasets
from .egpo_config import EGPOConfig
from .egpo_metrics import ratios, sum_statistics, weigh_token_means, work_statistics
from .live_rows import blank_rows, live_rows, sort_micro_batches
from .prompts import takes_objects, template_messages
from .response_templates import ensure_response_template, parsing_that_cannot_fail
from .rewards import ToolCallReward
from .think_spans import ThinkTags
from .tool_guard import ToolLimits
from .tool_rollouts import ToolRollouts
from .trainer_checks import check_trainer
from .trajectory_reward import TrajectoryReward
from .update_options import resolve_update_options

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


class EGPOTrainer(GRPOTrainer):
    """
    Trainer for EGPO, "Reasoning through Exploration: A Reinforcement Learning Framework for Robust Function Calling"
    (arXiv 2508.05118).

    EGPO is GRPO with `A_new = A + min(lambda * E, |A| / alpha)` (Eq. 5) in place of the advantage A, where E is the
    entropy of the policy on its chain of thought, without gradient. The entropies are those of the forward pass that
    computes the loss, from logits divided by the sampling temperature.

    The only change to the loss w.r.t. [`~trl.GRPOTrainer`] is that `_compute_loss` reads these advantages. Beside it,
    each row's own `tools` column is rendered into its prompt, on every generation back end, and handed to the reward,
    and the calls of executed tools are guarded.
    Padding and rows without a gradient are left out of the forward passes, see [`EGPOConfig`].

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

    _buffered_inputs: Any  # TRL's micro-batches of one generation batch
    tools: Any  # function schemas, once the trainer is built
    _env_tools: Any
    _sync_tool_dicts: Any  # TRL's lookup of calls, one a rollout
    _async_tool_dicts: Any
    async_loop: Any
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

        self._row_tools: list[list[dict[str, Any]] | None] | None = None  # tools of the batch being tokenized
        self._loss_inputs: dict[str, Any] | None = None  # batch whose loss waits for its log-probabilities
        self._defers_old_logps = False
        self._old_logps: Callable[..., Any] | None = None  # the deferred pass
        self._egpo_sums: dict[
            str, list[torch.Tensor]
        ] = {}  # statistics of the micro-batches since the last log, by mode
        self._tool_masks: list[list[int]] | None = None  # of the rollouts that wait for their rewards
        if kwargs.get("tools") or kwargs.get("environment_factory"):
            ensure_response_template(processing_class, args.think_tags)
        super().__init__(
            model,
            list(funcs),
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self._update_options = resolve_update_options(self.args, self.model, self.aux_loss_enabled)
        self._think_tags = self._find_think_tags()
        self._tool_rollouts = self._find_tools()
        check_trainer(self, train_dataset, eval_dataset)
        self.reward_funcs: list[Any] = [
            self._bound(func) if isinstance(func, (ToolCallReward, TrajectoryReward)) else func
            for func in self.reward_funcs
        ]

    def _bound(self, reward: ToolCallReward | TrajectoryReward) -> ToolCallReward | TrajectoryReward:
        options = (self._tokenizer, self.chat_template_kwargs, self.args.think_tags, self.eos_token_ids)
        if isinstance(reward, TrajectoryReward):
            limits = ToolLimits(self.args.tool_timeout, self.args.max_tool_result_characters)
            return reward.bind(*options, limits=limits)
        return reward.bind(*options)

    # Advantages (Eq. 5)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._loss_inputs = dict(inputs)  # the batch itself is buffered and used again when num_iterations > 1
        loss = super()._compute_loss(model, self._loss_inputs)
        if self._loss_inputs is not None:
            self._loss_inputs = None
            raise RuntimeError(
                f"TRL {trl.__version__} computed a loss without asking for entropies first, so the advantages were not "
                "shaped. Install trl==1.16.*."
            )
        return loss

    def _shape_advantages(
        self, inputs: dict[str, Any], entropies: torch.Tensor, live: torch.Tensor | None, work: ForwardWork | None
    ) -> None:
        policy_mask = _policy_mask(inputs)
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
        self._egpo_sums.setdefault(mode, []).append(self.accelerator.reduce(sums, reduction="sum"))

    def _cot_mask(self, inputs: dict[str, Any], policy_mask: torch.Tensor) -> torch.Tensor:
        if self._think_tags is None:
            return torch.zeros_like(policy_mask, dtype=torch.bool)
        return self._think_tags.cot_mask(
            inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_ids"], policy_mask
        )

    def _find_think_tags(self) -> ThinkTags | None:
        try:
            return ThinkTags(self._tokenizer, self.args.think_tags)
        except ValueError:
            if self.args.entropy_span == "think" and self.args.egpo_lambda > 0:
                raise
            return None  # nothing depends on the tags: the loss is GRPO's or uses the whole completion

    # Leaving out padding and rows without a gradient

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        inputs, self._loss_inputs = self._loss_inputs, None
        stock = partial(super()._get_per_token_logps_and_entropies, model)
        batch = (input_ids, attention_mask, logits_to_keep)
        multimodal = any(value is not None for name, value in kwargs.items() if not name.startswith("compute_"))
        live, work = None, None
        if multimodal or not self._update_options.any:
            output = stock(*batch, batch_size, **kwargs)
        else:
            compact = partial(
                compact_forward,
                partial(stock, **kwargs),
                *batch,
                self._update_options,
                batch_size=batch_size,
                pad_to_multiple_of=self.pad_to_multiple_of,
            )
            if self._defers_old_logps:
                self._old_logps = compact
                return torch.zeros_like(input_ids[:, -logits_to_keep:], dtype=torch.float32), None, None
            if inputs is not None and self.model.training and self._update_options.drop_zero_advantages:
                live = live_rows(inputs["advantages"], _policy_mask(inputs))
                inputs.update(blank_rows(inputs, ~live))
            output, work = compact(live=live)
        if inputs is not None:  # called by _compute_loss, which reads the advantages afterwards
            self._shape_advantages(inputs, output[1].detach(), live, work)
        return output

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        buffered = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is buffered or not self._update_options.sort_by_length:
            return inputs
        # Runs of this length never cross the border of an optimizer step.
        run = math.gcd(self.args.gradient_accumulation_steps, self.args.steps_per_generation)
        self._buffered_inputs = sort_micro_batches(
            self._buffered_inputs, run, self._update_options.drop_zero_advantages
        )
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _score_live_rows(self, output: dict[str, Any]) -> None:
        """Old log-probabilities, once the advantages tell which rows will need them."""
        compact, self._old_logps = self._old_logps, None
        if compact is not None:
            live = live_rows(output["advantages"], _policy_mask(output))
            with torch.no_grad(), disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
                (output["old_per_token_logps"], _, _), _ = compact(live=live)

    # Executed tools

    def _find_tools(self) -> ToolRollouts | None:
        if not self.tools:
            return None
        rollouts = ToolRollouts(self)
        # What TRL renders and parses with from now on; it executes what it finds elsewhere.
        self.tools = [schema for pool in rollouts.pools.values() for schema in pool.schemas.values()]
        if self.environment_factories is not None:
            self._env_tools = {name: list(pool.schemas.values()) for name, pool in rollouts.pools.items()}
        return rollouts

    def _generate(self, prompts: list[Any]) -> Any:
        rollouts, guarded = self._tool_rollouts, []
        if rollouts is not None:
            tools = [{**a, **b} for a, b in zip(self._sync_tool_dicts, self._async_tool_dicts, strict=True)]
            guarded = rollouts.guarded(tools, self._row_tools, self.environments)
            self._sync_tool_dicts, self._async_tool_dicts = guarded, [{} for _ in guarded]
        with parsing_that_cannot_fail(self._tokenizer):
            output = super()._generate(prompts)
        self._tool_masks = None if rollouts is None else output[2]
        if rollouts is not None and self._has_async_funcs:
            self.async_loop = rollouts.loops.loop  # another one if a tool blocked it
        for row, environment in zip(guarded, self.environments or [], strict=False):
            if row.is_abandoned:  # a call in it goes on: no later rollout may get it
                for pool in self._environment_pool.values():
                    pool[:] = [other for other in pool if other is not environment]
        return output

    def _calculate_rewards(self, inputs: list[dict[str, Any]], *args: Any) -> Any:
        """Rewards are told which tokens the policy wrote, so that they can read each turn as it was written."""
        masks, self._tool_masks = self._tool_masks, None
        if masks is not None:
            inputs = [{**row, "tool_mask": mask} for row, mask in zip(inputs, masks, strict=True)]
        return super()._calculate_rewards(inputs, *args)

    def _get_tool_suffix_ids(self, tool_messages: list[dict[str, Any]]) -> Any:
        assert self._tool_rollouts is not None
        return self._tool_rollouts.suffix_ids(super()._get_tool_suffix_ids, tool_messages)

    # Each row's own tools

    def _offered_tools(self, row: dict[str, Any]) -> list[dict[str, Any]] | None:
        return parse_row_tools(row["tools"]) if self._tool_rollouts is None else self._tool_rollouts.offered(row)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        has_tools = self.args.render_tools and "tools" in inputs[0]
        self._row_tools = [self._offered_tools(row) for row in inputs] if has_tools else None
        corrects_sampling = self.use_vllm and self.vllm_importance_sampling_correction  # reads the rows at once
        drops = self.model.training and self._update_options.drop_zero_advantages
        self._old_logps, self._defers_old_logps = None, drops and self.beta == 0.0 and not corrects_sampling
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            self._row_tools = None
            self._defers_old_logps = False
        self._score_live_rows(output)
        return output

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        if not is_conversational({"prompt": prompts[0]}):
            return super()._tokenize_prompts(prompts)
        prompts = self._template_messages(prompts)
        if self._row_tools is None:
            return super()._tokenize_prompts(prompts)
        prompt_ids = [
            self._render(prompt, tools)["input_ids"][0] for prompt, tools in zip(prompts, self._row_tools, strict=True)
        ]
        return prompt_ids, None, {}

    def _template_messages(self, prompts: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
        has_calls = any(message.get("tool_calls") for prompt in prompts for message in prompt)
        return [template_messages(prompt, has_calls and self._takes_objects) for prompt in prompts]

    @cached_property
    def _takes_objects(self) -> bool:
        return takes_objects(lambda messages: self._render(messages, None))

    def _render(self, prompt: list[dict[str, Any]], tools: list[dict[str, Any]] | None, tokenize: bool = True) -> Any:
        return self.processing_class.apply_chat_template(
            conversation=[prompt],
            tools=tools or None,  # some templates render boilerplate for an empty list
            chat_template=self.chat_template,
            add_generation_prompt=True,
            tokenize=tokenize,
            return_dict=tokenize,
            **self.chat_template_kwargs,
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode = "train" if self.model.training else "eval"
        if mode in self._egpo_sums:
            sums = torch.stack(self._egpo_sums.pop(mode))
            for name, value in ratios(sums.sum(dim=0)).items():
                self._metrics[mode][name].append(value)
            if mode == "train" and (self._update_options.sort_by_length or self._update_options.drop_zero_advantages):
                weigh_token_means(self._metrics[mode], sums, self.importance_sampling_level == "token")
        super().log(logs, start_time)


def _policy_mask(inputs: dict[str, Any]) -> torch.Tensor:
    """1 at tokens that the policy generated and that enter the loss, shape (B, T)."""
    mask: torch.Tensor = inputs["completion_mask"] * inputs.get("tool_mask", 1)
    return mask
