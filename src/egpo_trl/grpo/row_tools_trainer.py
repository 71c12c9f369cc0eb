"""[`RowToolsTrainer`]: TRL's [`~trl.GRPOTrainer`] with tools that differ from row to row."""

from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin
from trl import GRPOTrainer
from trl.data_utils import is_conversational

from ..data.prompts import takes_objects, template_messages
from ..egpo_config import EGPOConfig
from ..rollouts.response_templates import ensure_response_template, parsing_that_cannot_fail
from ..rollouts.think_spans import ThinkTags
from ..tool_calls.calls import parse_row_tools
from .tool_rollouts import ToolRollouts


class RowToolsTrainer(GRPOTrainer):
    """
    [`~trl.GRPOTrainer`] in which each row brings its own tools, on every generation back end, and calls of executed
    tools run under guard. TRL renders one list of tools into every prompt and ignores a column `tools` (trl#5398).

    Args:
        model, args, processing_class, **kwargs:
            As for [`~trl.GRPOTrainer`]. `tools` may hold [`ExecutedTool`]s, and the class of an environment may hold
            function schemas by method name in an attribute `tool_schemas`.
    """

    tools: Any  # function schemas, once the trainer is built
    _env_tools: Any
    _sync_tool_dicts: Any  # TRL's lookup of calls, one a rollout
    _async_tool_dicts: Any
    async_loop: Any

    def __init__(
        self,
        model: Any,
        *,
        args: EGPOConfig,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None,
        **kwargs: Any,
    ) -> None:
        self._row_tools: list[list[dict[str, Any]] | None] | None = None  # tools of the batch being tokenized
        self._tool_masks: list[list[int]] | None = None  # of the rollouts that wait for their rewards
        if kwargs.get("tools") or kwargs.get("environment_factory"):
            ensure_response_template(processing_class, args.think_tags)
        super().__init__(model, args=args, processing_class=processing_class, **kwargs)
        self._tool_rollouts = self._find_tools()

    @cached_property
    def _think_tags(self) -> ThinkTags | None:
        """Think tags of the policy; `None` where its tokenizer has none, nor the configuration."""
        try:
            return ThinkTags(self._tokenizer, self.args.think_tags)
        except ValueError:
            return None

    def _find_tools(self) -> ToolRollouts | None:
        if not self.tools:
            return None
        rollouts = ToolRollouts(self)
        # What TRL renders and parses with from now on; it executes what it finds elsewhere.
        self.tools = [schema for pool in rollouts.pools.values() for schema in pool.schemas.values()]
        if self.environment_factories is not None:
            self._env_tools = {name: list(pool.schemas.values()) for name, pool in rollouts.pools.items()}
        return rollouts

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        has_tools = self.args.render_tools and "tools" in inputs[0]
        self._row_tools = [self._offered_tools(row) for row in inputs] if has_tools else None
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self._row_tools = None

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

    def _offered_tools(self, row: dict[str, Any]) -> list[dict[str, Any]] | None:
        return parse_row_tools(row["tools"]) if self._tool_rollouts is None else self._tool_rollouts.offered(row)

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
