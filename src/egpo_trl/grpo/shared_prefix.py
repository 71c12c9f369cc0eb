"""Whether a policy may compute shared prefixes once, why not, and a check of the claim on the policy itself."""

from functools import partial
from typing import Any

import torch

from .pack_attention import use_blocks
from .packed_forward import PassCost, Plan, plan_packs, row_tokens, run_packed
from .prefix_tree import build_pack
from .update_options import sees_relative_positions

MAX_PAIRS = 2**27  # elements of an attention mask: 128 MiB as booleans, 512 MiB as float32 on kernels that convert it
MASKED_ATTENTION = frozenset({"sdpa", "eager", "flex_attention"})  # take a mask of any form


def reason_against(args: Any, model: Any, aux_loss: bool, accelerator: Any) -> str | None:
    """Why packed forward passes may not equal stock ones for this policy and configuration; `None` where they do."""
    text = model.config.get_text_config()
    attention = getattr(text, "_attn_implementation", None)
    parallel = getattr(accelerator, "parallelism_config", None)
    if aux_loss:
        return "the load-balancing loss of a mixture of experts counts every token"
    if getattr(args, "torch_compile", False):
        return "torch.compile would compile every new shape"
    if attention not in MASKED_ATTENTION:
        return f"attention {attention!r} takes no mask of any form (sdpa, eager and flex_attention do)"
    if not getattr(text, "is_causal", True):
        return "its attention is not causal"
    if getattr(text, "alibi", False):
        return "its positions come from the attention mask (ALiBi)"
    if not sees_relative_positions(model):
        return "it has layers or position embeddings that are not exact under packing"
    if parallel is not None and (parallel.cp_enabled or parallel.sp_enabled):
        return "context and sequence parallelism cut rows"
    return None


def pass_cost(model: Any) -> PassCost:
    """Multiplications of a forward pass of a model, from its configuration; an estimate to compare shapes by."""
    text = model.config.get_text_config()
    hidden, layers = int(text.hidden_size), int(text.num_hidden_layers)
    heads = int(text.num_attention_heads)
    head = int(getattr(text, "head_dim", None) or hidden // heads)
    groups = int(getattr(text, "num_key_value_heads", None) or heads)
    inner = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    attention = hidden * head * (2 * heads + 2 * groups)
    return PassCost(
        token=float(layers * (attention + 3 * hidden * inner) + hidden * int(text.vocab_size)),
        pair=float(2 * layers * heads * head),
    )


def differ(packed: torch.Tensor, stock: torch.Tensor, in_half: bool) -> bool:
    """Whether log-probabilities differ by more than the rounding of a 16-bit or a longer format does."""
    if not packed.isfinite().all():
        return bool(stock.isfinite().all())
    limit = 0.05 if in_half else 1e-4  # a wrong mask moves those of a trained model by tenths
    return bool((packed.double() - stock.double()).abs().mean() > limit)


class SharedPrefixes:
    """Packed forward passes of one policy."""

    def __init__(self, model: Any, accelerator: Any) -> None:
        self._config, self._dtype, self._accelerator = model.config, model.dtype, accelerator
        self._cost = pass_cost(model)
        self.is_checked = False
        use_blocks()

    def forward(
        self,
        model: Any,
        compute_entropy: bool,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        force: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None, int] | None:
        """
        Log-probabilities and entropies (B, T) and the number of computed positions; `None` where no prefix is worth
        sharing. With `force` all rows share one pack, whatever it costs.
        """
        tokens = row_tokens(input_ids, attention_mask, range(len(input_ids)))
        if force:
            pack = build_pack({row: ids for row, ids in tokens.items() if len(ids)})
            plan: Plan | None = Plan([pack], len(pack.tokens))
        else:
            plan = plan_packs(tokens, self._cost, MAX_PAIRS)
        if plan is None:
            return None
        with self._accelerator.autocast():
            logps, entropies = run_packed(
                partial(model, fused_lm_head=True), self._config, plan, tokens, attention_mask, logits_to_keep,
                self._dtype, compute_entropy,
            )  # fmt: skip
        return logps, entropies, len(plan.packs) * plan.width

    @torch.no_grad()
    def check(
        self, model: Any, forward: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int
    ) -> bool:
        """
        Whether a packed pass over two rows equals a stock one on every process: the longest row, and the same row with
        other tokens from the middle of its completion on. Each process makes two calls of the model, whatever its rows are.
        The check counts as done once a token was scored.
        """
        completions = attention_mask[:, -logits_to_keep:].bool()
        width = attention_mask.shape[1]
        row = int((attention_mask.sum(dim=1) + width * completions.any(dim=1)).argmax())
        ids, mask = input_ids[[row, row]], attention_mask[[row, row]]
        mask[:, max(0, width - logits_to_keep - 1)] = 1  # of a row without any token
        columns = completions[row].nonzero().flatten() + width - logits_to_keep
        other = columns[len(columns) // 2 :]
        ids[1, other] = (ids[1, other] + 1) % int(self._config.get_text_config().vocab_size)
        batch = (ids, mask, logits_to_keep)
        was_training = model.training
        model.eval()  # dropout would differ
        stock, *_ = forward(*batch)
        packed = self.forward(model, False, *batch, force=True)
        model.train(was_training)
        in_half = self._dtype in (torch.bfloat16, torch.float16) or self._accelerator.mixed_precision in (
            "bf16",
            "fp16",
        )
        scored = completions[[row, row]]
        is_wrong = packed is None or (bool(scored.any()) and differ(packed[0][scored], stock[scored], in_half))
        facts = torch.tensor([float(is_wrong), float(scored.any())], device=input_ids.device)
        wrong, done = self._accelerator.reduce(facts, reduction="sum").tolist()
        self.is_checked = done > 0
        return not wrong
