"""Decides which work of a policy update can be left out without changing its gradient.

Padding is never read, so the completion side of a batch can be trimmed: attention is causal. (Rotary embeddings of the
types `dynamic` and `longrope` read the length of the batch, though, so theirs is left alone.) Trimming the prompt side
moves every token to an earlier position, which changes nothing where attention sees relative positions only. A row
whose advantage is 0 does not get a policy gradient, so it can be left out where nothing else in the loss reads it. Rows may
be exchanged between the micro-batches of one optimizer step where the loss is a sum over rows with weights that do not
depend on the micro-batch.
"""

from dataclasses import dataclass
from typing import Any

UPDATE_MODES = ("auto", "always", "never")

# "bnpo" divides by the number of tokens of the micro-batch. The others divide by a number of rows, which every
# micro-batch has alike, or by a number of tokens of the whole generation batch.
SPLIT_INDEPENDENT_LOSS_TYPES = frozenset({"grpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"})

# Those that divide by a number of rows: a part of a micro-batch counts with its share of the rows.
ROW_MEAN_LOSS_TYPES = frozenset({"grpo", "dr_grpo", "sapo", "luspo"})

_RELATIVE_ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})  # "dynamic" and "longrope" read the length
_KEY_SELECTING_MODELS = frozenset({"doge"})  # take the best of all keys, padding among them
_RELATIVE_LAYER_TYPES = frozenset({"full_attention", "sliding_attention"})


@dataclass(frozen=True)
class UpdateOptions:
    """What a trainer leaves out of its forward passes."""

    trim_completions: bool
    trim_prompts: bool
    drop_zero_advantages: bool
    sort_by_length: bool
    share_prefixes: bool = False

    @property
    def any(self) -> bool:
        """Whether a forward pass can differ from the stock one."""
        return self.trim_completions or self.trim_prompts or self.drop_zero_advantages or self.share_prefixes


def sees_relative_positions(model: Any) -> bool:
    """
    Whether a causal model gives the same output when all tokens of a row move by the same number of positions.

    Read off the configuration, and `False` in doubt: rotary embeddings that do not depend on the length, in full or
    sliding attention, without a recurrent state that left padding could touch or virtual tokens in front of it.
    """
    adapters = getattr(model, "peft_config", None) or {}
    if getattr(model, "_is_stateful", False) or any(adapter.is_prompt_learning for adapter in adapters.values()):
        return False
    config = model.config.get_text_config()
    return (
        config.model_type not in _KEY_SELECTING_MODELS
        and _RELATIVE_LAYER_TYPES.issuperset(getattr(config, "layer_types", None) or ())
        and all(
            parameters.get("rope_type") in _RELATIVE_ROPE_TYPES and "llama_4_scaling_beta" not in parameters
            for parameters in _rope_parameters(config)
        )
    )


def _rope_parameters(config: Any) -> list[dict[str, Any]]:
    """Parameters of the rotary embeddings, one for each kind of layer that has its own."""
    rope = getattr(config, "rope_parameters", None) or {}
    return [value for value in rope.values() if isinstance(value, dict)] or [rope]


def reads_length(model: Any) -> bool:
    """Whether the rotary embeddings of a model depend on the width of the batch, right padding included."""
    types = [parameters.get("rope_type") for parameters in _rope_parameters(model.config.get_text_config())]
    return any(kind is not None and kind not in _RELATIVE_ROPE_TYPES for kind in types)


def reads_whole_micro_batch(args: Any, aux_loss: bool = False) -> bool:
    """Whether the loss has a term that couples the rows of a micro-batch, whatever their advantages."""
    entropy_bonus = args.entropy_coef != 0.0 or args.use_adaptive_entropy
    return bool(entropy_bonus or args.top_entropy_quantile < 1.0 or aux_loss)


def resolve_update_options(args: Any, model: Any, aux_loss: bool, against_sharing: str | None = None) -> UpdateOptions:
    """Turn the `"auto"` of the configuration into decisions that are exact for this model and loss."""
    coupled = reads_whole_micro_batch(args, aux_loss)
    if args.drop_zero_advantages == "always" and coupled:
        raise ValueError(
            "drop_zero_advantages='always' would also leave the rows out of the load-balancing loss. Use 'auto', or set "
            "router_aux_loss_coef=0."
        )
    if args.share_prefixes == "always" and aux_loss:
        raise ValueError(
            "share_prefixes='always' would leave tokens out of the load-balancing loss. Use 'auto', or set "
            "router_aux_loss_coef=0."
        )

    def decide(mode: str, exact: bool) -> bool:
        return mode == "always" or (mode == "auto" and exact)

    return UpdateOptions(
        trim_completions=decide(args.trim_padding, not reads_length(model)),
        trim_prompts=decide(args.trim_padding, sees_relative_positions(model)),
        drop_zero_advantages=decide(args.drop_zero_advantages, not coupled and args.beta == 0.0),
        sort_by_length=decide(args.sort_by_length, not coupled and args.loss_type in SPLIT_INDEPENDENT_LOSS_TYPES),
        share_prefixes=decide(args.share_prefixes, against_sharing is None),
    )
