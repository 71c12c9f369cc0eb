"""[`RowToolsTrainer`]: TRL's [`~trl.GRPOTrainer`] with tools that differ from row to row."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, ClassVar

import torch
import trl
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from trl import GRPOTrainer
from trl.data_utils import is_conversational
from trl.trainer.utils import get_config_model_id

from ..data.prompts import takes_objects, template_messages
from ..data.rows import check_datasets, check_rendering, column_names_of, rows_with
from ..rollouts.policy import Policy, PolicyReward
from ..rollouts.response_templates import ensure_response_template, parsing_that_cannot_fail
from ..rollouts.think_spans import ThinkTags
from ..rollouts.tool_guard import EventLoops, ToolGuard, ToolLimits
from ..rollouts.tool_pool import ToolPool
from ..rollouts.tool_text import ToolText
from ..tool_calls.calls import parse_row_tools
from .config import LeanGRPOConfig
from .executed_tools import ExecutedTools, row_subset

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


class RowToolsTrainer(GRPOTrainer):
    """
    [`~trl.GRPOTrainer`] in which each row brings its own tools, on every generation back end, and calls of executed
    tools run under guard. TRL renders one list of tools into every prompt and ignores a column `tools` (trl#5398).

    The arguments are those of [`~trl.GRPOTrainer`]. `tools` may hold [`ExecutedTool`]s, and the class of an environment
    may hold function schemas by method name in an attribute `tool_schemas`. A [`PolicyReward`] is bound to the policy.
    """

    _config_class: ClassVar[type[LeanGRPOConfig]] = LeanGRPOConfig
    tools: Any  # function schemas, once the trainer is built
    _env_tools: Any
    _sync_tool_dicts: Any  # TRL's lookup of calls, one a rollout
    _async_tool_dicts: Any
    async_loop: Any
    _row_tools: list[list[dict[str, Any]] | None] | None = None  # tools of the batch being tokenized
    _tool_masks: list[list[int]] | None = None  # of the rollouts that wait for their rewards

    def __init__(
        self,
        model: str | PreTrainedModel,
        reward_funcs: Any = None,
        args: LeanGRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        reward_processing_classes: Any = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        tools: list[Callable[..., Any]] | None = None,
        rollout_func: Any = None,
        environment_factory: Any = None,
    ) -> None:
        missing = [name for name in _TRL_HOOKS if not hasattr(GRPOTrainer, name)]
        if missing:
            raise ImportError(
                f"TRL {trl.__version__} has no GRPOTrainer.{missing[0]}, which {type(self).__name__} overrides. Install "
                "trl==1.16.*."
            )
        if args is None:
            model_name = model if isinstance(model, str) else get_config_model_id(model.config)
            args = self._config_class(f"{model_name.split('/')[-1]}-{self._name}")
        elif not isinstance(args, self._config_class):
            raise TypeError(
                f"args must be an {self._config_class.__name__}, got {type(args).__name__}: {type(self).__name__} has "
                "fields of its own."
            )
        funcs = reward_funcs if isinstance(reward_funcs, list) else [] if reward_funcs is None else [reward_funcs]
        bound = [func for func in funcs if isinstance(func, PolicyReward)]
        columns = [] if environment_factory else ["prompt"]
        columns += [column for func in bound for column in func.required_columns]
        train_dataset, eval_dataset = check_datasets(train_dataset, eval_dataset, list(dict.fromkeys(columns)))
        for func in bound:
            train_dataset, eval_dataset = func.check_datasets(train_dataset, eval_dataset, environment_factory)
        if tools or environment_factory:
            ensure_response_template(processing_class, args.think_tags)
        super().__init__(
            model,
            reward_funcs=list(funcs),
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            reward_processing_classes=reward_processing_classes,
            callbacks=callbacks,
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
            tools=tools,
            rollout_func=rollout_func,
            environment_factory=environment_factory,
        )
        self._executed_tools = self._find_tools()
        shared_tools = [str(getattr(tool, "__name__", tool)) for tool in tools or ()]
        policy = Policy(
            self._tokenizer,
            self.chat_template_kwargs,
            self.args.think_tags,
            self.eos_token_ids,
            self._tool_limits,
            shared_tools,
        )
        self.reward_funcs: list[Any] = [
            func.for_policy(policy) if isinstance(func, PolicyReward) else func for func in self.reward_funcs
        ]
        self._check(train_dataset, eval_dataset)

    def _check(self, train_dataset: Any, eval_dataset: Any) -> None:
        """Last step of construction: raise for what would end a run, or mislead it, later. Subclasses extend it."""
        for name, dataset in _named(train_dataset, eval_dataset):
            self._check_row_tools(dataset)
            self._check_executed_tools(name, dataset)
            self._check_rows_render(name, dataset)

    # Rollouts

    @cached_property
    def _think_tags(self) -> ThinkTags | None:
        """Think tags of the policy; `None` where its tokenizer has none, nor the configuration."""
        try:
            return ThinkTags(self._tokenizer, self.args.think_tags)
        except ValueError:
            return None

    @property
    def _tool_limits(self) -> ToolLimits:
        return ToolLimits(self.args.tool_timeout, self.args.max_tool_result_characters)

    def _find_tools(self) -> ExecutedTools | None:
        if not self.tools:
            return None
        named = {None: self.tools} if self.environment_factories is None else self._env_tools
        pools = {name: ToolPool(tools) for name, tools in named.items()}
        loops = EventLoops(self.async_loop if self._has_async_funcs else None)
        guard = ToolGuard(self._tool_limits, loops, self._log_metric, keeps_blocks=self._is_vlm)
        tags = self._think_tags
        template = str(self.chat_template or self.processing_class.chat_template)
        text = ToolText(self._tokenizer, () if tags is None else (tags.start, tags.end), template)
        # What TRL renders and parses with from now on; it executes what it finds elsewhere.
        self.tools = [schema for pool in pools.values() for schema in pool.schemas.values()]
        if self.environment_factories is not None:
            self._env_tools = {name: list(pool.schemas.values()) for name, pool in pools.items()}
        return ExecutedTools(pools, guard, text, self._log_metric)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        has_tools = self.args.render_tools and "tools" in inputs[0]
        self._row_tools = [self._offered_tools(row) for row in inputs] if has_tools else None
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self._row_tools = None

    def _generate(self, prompts: list[Any]) -> Any:
        executed, guarded = self._executed_tools, []
        if executed is not None:
            tools = [{**a, **b} for a, b in zip(self._sync_tool_dicts, self._async_tool_dicts, strict=True)]
            guarded = executed.guarded(tools, self._row_tools, self.environments)
            self._sync_tool_dicts, self._async_tool_dicts = guarded, [{} for _ in guarded]
        with parsing_that_cannot_fail(self._tokenizer):
            output = super()._generate(prompts)
        self._tool_masks = None if executed is None else output[2]
        if executed is not None and self._has_async_funcs:
            self.async_loop = executed.guard.loops.loop  # another one if a tool blocked it
        for row, environment in zip(guarded, self.environments or [], strict=False):
            if row.is_abandoned:  # a call is still running in it: no later rollout may get it
                for pool in self._environment_pool.values():
                    pool[:] = [other for other in pool if other is not environment]
        return output

    def _calculate_rewards(self, inputs: list[dict[str, Any]], *args: Any) -> Any:
        """Tell rewards which tokens the policy wrote, so that they can read each turn as it was written."""
        masks, self._tool_masks = self._tool_masks, None
        if masks is not None:
            inputs = [{**row, "tool_mask": mask} for row, mask in zip(inputs, masks, strict=True)]
        return super()._calculate_rewards(inputs, *args)

    def _get_tool_suffix_ids(self, tool_messages: list[dict[str, Any]]) -> Any:
        assert self._executed_tools is not None
        return self._executed_tools.suffix_ids(super()._get_tool_suffix_ids, tool_messages)

    def _offered_tools(self, row: dict[str, Any]) -> list[dict[str, Any]] | None:
        return parse_row_tools(row["tools"]) if self._executed_tools is None else self._executed_tools.offered(row)

    # Prompts

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

    # Checks

    def _check_row_tools(self, dataset: Any) -> None:
        """Per-row tools need a chat template that renders them."""
        if not self.args.render_tools or "tools" not in column_names_of(dataset):
            return
        if self._is_vlm:
            raise ValueError(
                "Per-row `tools` are rendered for text models only. Set render_tools=False and put the functions into "
                "the messages (prompt style 'paper')."
            )
        prompt = [{"role": "user", "content": "?"}]
        parameters = {
            "type": "object",
            "properties": {"x": {"type": "string", "description": "x"}},
            "required": ["x"],
        }
        probe = [
            {"type": "function", "function": {"name": "probe", "description": "Probe.", "parameters": parameters}}
        ]
        if self._render(prompt, probe)["input_ids"] == self._render(prompt, None)["input_ids"]:
            raise ValueError(
                f"The chat template of {self._tokenizer.name_or_path!r} ignores tools, so the model would not see the "
                "row's functions. Use the prompt style 'paper', which writes them into the system message, together "
                "with render_tools=False."
            )

    def _check_executed_tools(self, name: str, dataset: Any) -> None:
        """Rows for TRL's tool loop are conversations, and name environments and tools of the trainer only."""
        executed = self._executed_tools
        if executed is None or not isinstance(dataset, Dataset):
            return
        columns = column_names_of(dataset)
        kept = [column for column in ("prompt", "environment", "tools") if column in columns]
        for index, row in enumerate(rows_with(dataset, kept)):
            where = f"{name}, row {index}"
            if isinstance(row.get("prompt"), str):
                raise ValueError(f"{where}: executed tools need messages as `prompt`, and this one is a string.")
            try:
                pool = executed.pool_of(row)
            except KeyError as error:
                raise ValueError(
                    f"{where}: its `environment` is {error}, and the trainer has {sorted(executed.pools)}. Name one of "
                    "them."
                ) from None
            unknown = pool.unknown(row_subset(row) or []) if self.args.render_tools else []
            if unknown:
                raise ValueError(
                    f"{where}: its `tools` offer {unknown[0]!r}, which the trainer cannot execute. It has "
                    f"{sorted(pool.schemas)}. Add the tool to the trainer or remove it from the row; set "
                    "render_tools=False if the column is for the reward only."
                )

    def _check_rows_render(self, name: str, dataset: Any) -> None:
        """Every row of a data set in memory must pass the chat template before training starts."""
        if not isinstance(dataset, Dataset) or self._is_vlm or "prompt" not in column_names_of(dataset):
            return
        has_tools = self.args.render_tools and "tools" in column_names_of(dataset)

        def render(row: Any) -> None:
            if is_conversational({"prompt": row["prompt"]}):
                (messages,) = self._template_messages([row["prompt"]])
                self._render(messages, self._offered_tools(row) if has_tools else None, tokenize=False)

        check_rendering(dataset, name, render)


def _named(train: Any, evaluation: Any) -> Iterator[tuple[str, Any]]:
    """The data sets of a trainer with their names in messages."""
    if train is not None:
        yield "train_dataset", train
    if isinstance(evaluation, dict):
        yield from ((f"eval_dataset[{key!r}]", value) for key, value in evaluation.items())
    elif evaluation is not None:
        yield "eval_dataset", evaluation
