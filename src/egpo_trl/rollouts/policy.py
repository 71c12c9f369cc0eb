"""[`Policy`]: the facts about a policy that a reward asks for, and the rewards that ask."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .tool_guard import ToolLimits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Policy:
    """How a trainer's policy writes and what it may call."""

    tokenizer: "PreTrainedTokenizerBase"
    chat_template_kwargs: Mapping[str, Any]
    think_tags: Sequence[str] | None
    stop_token_ids: Sequence[int]
    tool_limits: ToolLimits
    shared_tools: Sequence[str]
    environments: Mapping[Any, Callable[[], Any]] | None = None  # by the name that rows give; `None`: none named


@runtime_checkable
class PolicyReward(Protocol):
    """A reward function that needs columns of the rows and takes open options from the policy."""

    @property
    def required_columns(self) -> Sequence[str]:
        """Columns that every row must have."""

    @property
    def has_plain_reference(self) -> bool:
        """Whether the column `reference` holds calls as they are to be made, so that they must fit the functions."""

    def for_policy(self, policy: Policy) -> Any:
        """A copy of the reward for this policy."""

    def row_problem(self, row: Mapping[str, Any], policy: Policy) -> tuple[str, str] | None:
        """Why the own reference of a row earns nothing, as a code to count by and in words."""
