"""What a [`RowToolsTrainer`] puts around TRL's tool loop: what each row offers, limits, and results that stay text."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..rollouts.tool_guard import EventLoops, RowTools, ToolGuard, ToolLimits
from ..rollouts.tool_pool import FunctionSchema, ToolPool
from ..rollouts.tool_text import ToolText
from ..tool_calls.calls import parse_row_tools

if TYPE_CHECKING:
    from .row_tools_trainer import RowToolsTrainer


class ToolRollouts:
    """
    The executed tools of one trainer.

    Args:
        trainer ([`RowToolsTrainer`]):
            Trainer with executed tools or environments, as TRL built it.

    Raises:
        ValueError: If a tool has no schema, or two of a row would have the same name.
    """

    def __init__(self, trainer: "RowToolsTrainer") -> None:
        self.pools: dict[Any, ToolPool]  # by the name of the environment; `None` where rows do not name one
        if trainer.environment_factories is None:
            self.pools = {None: ToolPool(trainer.tools)}
        else:
            self.pools = {name: ToolPool(tools) for name, tools in trainer._env_tools.items()}
        self.by_environment = bool(trainer._multi_environment)
        loops = EventLoops(trainer.async_loop if trainer._has_async_funcs else None)
        limits = ToolLimits(trainer.args.tool_timeout, trainer.args.max_tool_result_characters)
        self._count: Callable[[str, float], None] = trainer._log_metric
        self._guard = ToolGuard(limits, loops, self._count, keeps_blocks=trainer._is_vlm)
        tags = trainer._think_tags
        self._text = ToolText(
            trainer._tokenizer,
            () if tags is None else (tags.start, tags.end),
            str(trainer.chat_template or trainer.processing_class.chat_template),
        )

    @property
    def loops(self) -> EventLoops:
        """Where `async` tools run."""
        return self._guard.loops

    def pool_of(self, row: Mapping[str, Any]) -> ToolPool:
        """
        The tools that exist for a row.

        Args:
            row (`Mapping[str, Any]`):
                Row of a data set.

        Returns:
            [`ToolPool`]

        Raises:
            KeyError: If the row names no environment of the trainer.
        """
        return self.pools[row.get("environment") if self.by_environment else None]

    def offered(self, row: Mapping[str, Any]) -> list[FunctionSchema]:
        """
        The tools that a row shows to the model.

        Args:
            row (`Mapping[str, Any]`):
                Row of a data set; where its `tools` are `None`, it offers all that exist for it.

        Returns:
            `list[dict]`:
                Function schemas.
        """
        try:
            return self.pool_of(row).offered(row_subset(row))
        except KeyError:
            return []  # of a stream; TRL refuses the row in words of its own

    def guarded(
        self,
        tools: Sequence[Mapping[str, Callable[..., Any]]],
        offered: Sequence[Sequence[FunctionSchema] | None] | None,
        environments: Sequence[Any] | None,
    ) -> list[RowTools]:
        """
        What TRL's loop looks calls up in, one a rollout.

        Args:
            tools (`Sequence[Mapping[str, Callable]]`):
                Tools that exist for each rollout, by name.
            offered (`Sequence[list[dict]]`, *optional*):
                Function schemas that each rollout shows. By default all tools are offered.
            environments (`Sequence`, *optional*):
                Environment of each rollout.

        Returns:
            `list[RowTools]`
        """
        rows = []
        for index, existing in enumerate(tools):
            if offered is not None:
                names = {schema.get("function", schema)["name"] for schema in offered[index] or ()}
                existing = {name: tool for name, tool in existing.items() if name in names}
            rows.append(RowTools(existing, self._guard, environments[index] if environments else None))
        return rows

    def suffix_ids(
        self, render: Callable[[list[dict[str, Any]]], list[int]], messages: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        """
        Token ids of tool messages, free of control tokens that the chat template did not write.

        Args:
            render (`Callable`):
                TRL's rendering of tool messages to token ids.
            messages (`Sequence[dict]`):
                Tool messages.

        Returns:
            `list[int]`
        """
        ids, changed = self._text.suffix_ids(render, messages)
        self._count("tools/defused", float(changed))
        return ids


def row_subset(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """
    The functions that a row names.

    Args:
        row (`Mapping[str, Any]`):
            Row of a data set.

    Returns:
        `list[dict]` or `None`:
            Function schemas; an empty list where the row offers nothing, `None` where it does not say.

    Raises:
        ValueError: If the column is malformed.
    """
    return None if row.get("tools") is None else parse_row_tools(row["tools"]) or []
