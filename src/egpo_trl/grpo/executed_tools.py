"""[`ExecutedTools`]: what each row offers of the tools that a trainer executes, and the guard around their calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..rollouts.tool_guard import RowTools, ToolGuard
from ..rollouts.tool_pool import FunctionSchema, ToolPool
from ..rollouts.tool_text import ToolText
from ..tool_calls.calls import parse_row_tools, parse_tools


class ExecutedTools:
    """The executed tools of one trainer."""

    def __init__(
        self, pools: Mapping[Any, ToolPool], guard: ToolGuard, text: ToolText, count: Callable[[str, float], None]
    ) -> None:
        self.pools: dict[Any, ToolPool] = dict(pools)
        self.guard, self._text, self._count = guard, text, count

    def pool_of(self, row: Mapping[str, Any]) -> ToolPool:
        """The tools that exist for a row; a `KeyError` if it names an unknown environment."""
        return self.pools[None if None in self.pools else row.get("environment")]

    def offered(self, row: Mapping[str, Any]) -> list[FunctionSchema]:
        """Schemas of the tools that a row shows to the model: all that exist where its `tools` are `None`."""
        try:
            return self.pool_of(row).offered(row_subset(row))
        except KeyError:
            return []  # of a stream; TRL refuses the row in words of its own

    def guarded(
        self,
        tools: Sequence[Mapping[str, Callable[..., Any]]],
        offered: Sequence[Sequence[FunctionSchema] | None] | None,
        environments: Sequence[Any] | None,
        environment_names: Sequence[Any] | None = None,
    ) -> list[RowTools]:
        """Tables that TRL's loop looks calls up in, one a rollout: existing tools cut to the offered ones, guarded."""
        rows = []
        for index, existing in enumerate(tools):
            if offered is not None:
                schemas = parse_tools(list(offered[index] or ()))
                existing = {name: tool for name, tool in existing.items() if name in schemas}
            else:
                name = None if None in self.pools or environment_names is None else environment_names[index]
                schemas = parse_tools(list(self.pools[name].schemas.values()))
            rows.append(RowTools(existing, self.guard, environments[index] if environments else None, schemas))
        return rows

    def suffix_ids(
        self, render: Callable[[list[dict[str, Any]]], list[int]], messages: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        """Token ids of tool messages, free of control tokens that the chat template did not write."""
        ids, changed = self._text.suffix_ids(render, messages)
        self._count("tools/defused", float(changed))
        return ids


def row_subset(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Schemas of the functions that a row names: an empty list where it offers nothing, `None` where it does not say."""
    return None if row.get("tools") is None else parse_row_tools(row["tools"]) or []
