"""[`Policy`]: the facts about a policy that a reward asks for, and the rewards that ask."""

from collections.abc import Mapping, Sequence
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


@runtime_checkable
class PolicyReward(Protocol):
    """A reward function that needs columns of the rows and takes open options from the policy."""

    @property
    def required_columns(self) -> Sequence[str]:
        """Columns that every row must have."""

    def check_datasets(self, train: Any, evaluation: Any, environment_factory: Any) -> tuple[Any, Any]:
        """Check the data sets of a trainer beyond their columns; streams come back without malformed rows."""

    def for_policy(self, policy: Policy) -> Any:
        """A copy of the reward for this policy."""
