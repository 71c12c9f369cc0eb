"""[`RowToolsTrainer`]: TRL's [`~trl.GRPOTrainer`] with tools that differ from row to row."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import trl
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from trl import GRPOTrainer
from trl.data_utils import is_conversational
from trl.trainer.utils import get_config_model_id

from ..data.ast_evaluation import schema_problem
from ..data.rendering import PromptRenderer
from ..data.rows import Check, Problem, column_names_of
from ..data.template_form import TemplateForm, in_form
from ..demo.names import model_folder
from ..rollouts.policy import Policy, PolicyReward
from ..rollouts.response_templates import ensure_response_template, parsing_what_is_written, turn_reader
from ..rollouts.think_spans import ThinkTags
from ..rollouts.tool_guard import EventLoops, ToolGuard, ToolLimits
from ..rollouts.tool_pool import ToolPool
from ..rollouts.tool_text import ToolText
from ..tool_calls.calls import parse_row_tools
from ..tool_calls.completions import CompletionReader
from .config import LeanGRPOConfig
from .executed_tools import ExecutedTools, row_subset
from .row_checks import RowChecks, named_datasets

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
    train_dataset: Any
    tools: Any
    _env_tools: Any
    _sync_tool_dicts: Any  # TRL's lookup of calls, one a rollout
    _async_tool_dicts: Any
    async_loop: Any
    _row_tools: list[list[dict[str, Any]] | None] | None = None  # tools of the batch being tokenized
    _tool_masks: list[list[int]] | None = None  # of the rollouts that wait for their rewards

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
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
                f"TRL {trl.__version__} lacks GRPOTrainer.{missing[0]}, which {type(self).__name__} overrides. Install "
                "trl==1.16.*."
            )
        if isinstance(model, str | Path):
            model = model_folder(model)
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
        plain = any(func.has_plain_reference for func in bound)
        checks = RowChecks(tuple(dict.fromkeys(columns)), [schema_problem] if plain else [], args.bad_rows)
        given = (train_dataset, eval_dataset)
        train_dataset, eval_dataset = checks.of_trainer(*given)  # before the model is loaded
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
        policy = Policy(
            self._tokenizer,
            self.chat_template_kwargs,
            self.args.think_tags,
            self.eos_token_ids,
            self._tool_limits,
            shared_tools=[str(getattr(tool, "__name__", tool)) for tool in tools or ()],
            environments=self.environment_factories,
        )
        for at, func in enumerate(self.reward_funcs):
            if isinstance(func, PolicyReward):
                self.reward_funcs[at] = func.for_policy(policy)
        late = [*self._checks_of_rows(), *self._checks_of_rewards(policy)]
        self._row_checks = replace(checks, checks=[*checks.checks, *late])  # of streams and further rows
        self._check(*given)
        train_dataset, eval_dataset = replace(checks, checks=late).of_trainer(train_dataset, eval_dataset)
        if train_dataset is not None:  # else TRL has made one up
            self.train_dataset = train_dataset
        self.eval_dataset = eval_dataset

    def _check(self, train_dataset: Any, eval_dataset: Any) -> None:
        """Last step of construction: raise for what would end a run, or mislead it, later. Subclasses extend it."""
        check_trainable(self.model)
        for dataset in named_datasets(train_dataset, eval_dataset).values():
            self._check_row_tools(dataset)

    def check_rows(self, name: str, dataset: Dataset) -> Dataset:
        """The rows of a data set that this trainer could train on, by the policy `bad_rows` of its configuration."""
        return self._row_checks(name, dataset)

    # Data

    def get_train_dataloader(self) -> Any:
        """As for [`~trl.GRPOTrainer`]; bad rows of a stream are skipped with a warning."""
        given = self.train_dataset
        self.train_dataset = self._row_checks.of_stream("train_dataset", given)
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset = given

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """As for [`~trl.GRPOTrainer`]; bad rows of a stream are skipped with a warning."""
        given, stream = self.eval_dataset, self._row_checks.of_stream
        if isinstance(given, dict):
            self.eval_dataset = {key: stream(f"eval_dataset[{key!r}]", value) for key, value in given.items()}
        else:
            self.eval_dataset = stream("eval_dataset", given)
        try:
            return super().get_eval_dataloader(stream("eval_dataset", eval_dataset))
        finally:
            self.eval_dataset = given

    # Rollouts

    @cached_property
    def _think_tags(self) -> ThinkTags | None:
        """Think tags of the policy; `None` where its tokenizer has none, nor the configuration."""
        try:
            return ThinkTags(self._tokenizer, self.args.think_tags)
        except ValueError:
            return None

    @cached_property
    def _turn_reader(self) -> CompletionReader | None:
        """What reads the calls that are executed: the syntax that the rewards judge, else that of the chat template."""
        if self._executed_tools is None:
            return None
        judged = (getattr(func, "syntax", None) for func in self.reward_funcs if isinstance(func, PolicyReward))
        syntax = next((name for name in judged if name), "auto")
        options = (self.chat_template_kwargs, self.args.think_tags, self.eos_token_ids, syntax)
        return turn_reader(self._tokenizer, *options)

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
        return ExecutedTools(pools, guard, text, self._log_metric)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        has_tools = self.args.render_tools and "tools" in inputs[0]
        self._row_tools = [self._offered_tools(row) for row in inputs] if has_tools else None
        try:
            with self._schemas_as_tools():
                return super()._generate_and_score_completions(inputs)
        finally:
            self._row_tools = None

    @contextmanager
    def _schemas_as_tools(self) -> Iterator[None]:
        """Let TRL render and parse with the schemas of executed tools; it finds the functions elsewhere."""
        if self._executed_tools is None:
            yield
            return
        pools, given, given_env = self._executed_tools.pools, self.tools, getattr(self, "_env_tools", None)
        self.tools = [schema for pool in pools.values() for schema in pool.schemas.values()]
        if given_env is not None:
            self._env_tools = {name: list(pool.schemas.values()) for name, pool in pools.items()}
        try:
            yield
        finally:
            self.tools, self._env_tools = given, given_env

    def _generate(self, prompts: list[Any]) -> Any:
        executed, guarded = self._executed_tools, []
        if executed is not None:
            tools = [{**a, **b} for a, b in zip(self._sync_tool_dicts, self._async_tool_dicts, strict=True)]
            names = getattr(self, "_batch_environments", None)
            guarded = executed.guarded(tools, self._row_tools, self.environments, names)
            self._sync_tool_dicts, self._async_tool_dicts = guarded, [{} for _ in guarded]
        with parsing_what_is_written(self._tokenizer, self._turn_reader):
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

    def _offered_tools(self, row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        return parse_row_tools(row["tools"]) if self._executed_tools is None else self._executed_tools.offered(row)

    # Prompts

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        if not is_conversational({"prompt": prompts[0]}):
            return super()._tokenize_prompts(prompts)
        if self._row_tools is None:
            form = TemplateForm() if self._is_vlm else self._renderer.form  # TRL writes the parts of processors
            return super()._tokenize_prompts([in_form(prompt, form) for prompt in prompts])
        rows = zip(prompts, self._row_tools, strict=True)
        return [self._renderer.prompt_ids(prompt, tools) for prompt, tools in rows], None, {}

    @cached_property
    def _renderer(self) -> PromptRenderer:
        return PromptRenderer(
            self.processing_class,
            chat_template_kwargs=self.chat_template_kwargs,
            render_tools=self.args.render_tools,
            chat_template=self.chat_template,
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
        self._renderer.check_template()

    def _checks_of_rows(self) -> Iterator[Check]:
        if self._executed_tools is not None:
            yield self._executed_tools_problem
        if not self._is_vlm:
            yield self._rendering_problem

    def _checks_of_rewards(self, policy: Policy) -> Iterator[Check]:
        for func in self.reward_funcs:
            if isinstance(func, PolicyReward):
                yield partial(_reward_problem, func, policy)

    def _rendering_problem(self, row: Mapping[str, Any]) -> Problem | None:
        if not is_conversational(dict(row)):
            return None
        has_tools = self.args.render_tools and "tools" in row
        return self._renderer.problem(row, self._offered_tools(row) if has_tools else None)

    def _executed_tools_problem(self, row: Mapping[str, Any]) -> Problem | None:
        """Rows for TRL's tool loop are conversations, and name environments and tools of the trainer only."""
        executed = self._executed_tools
        assert executed is not None
        if isinstance(row.get("prompt"), str):
            return Problem("not_messages", "executed tools need messages as `prompt`, and this one is a string")
        try:
            pool = executed.pool_of(row)
        except KeyError as error:
            known = sorted(executed.pools)
            return Problem("unknown_environment", f"its `environment` is {error}, and the trainer has {known}")
        unknown = pool.unknown(row_subset(row) or []) if self.args.render_tools else []
        if unknown:
            return Problem(
                "unknown_tool",
                f"its `tools` offer {unknown[0]!r}, which the trainer cannot execute. It has {sorted(pool.schemas)}. Add "
                "the tool to the trainer, or set render_tools=False if the column is for the reward only",
            )
        return None


def _reward_problem(reward: PolicyReward, policy: Policy, row: Mapping[str, Any]) -> Problem | None:
    found = reward.row_problem(row, policy)
    return None if found is None else Problem(*found)


def check_trainable(model: Any) -> None:
    """Raise a `ValueError` if no weight of a model would be trained."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "No weight of the model is trainable: every parameter is frozen, so nothing would be learned. Load an adapter "
            "with is_trainable=True, pass a peft_config (use_peft: true), or unfreeze the model."
        )
