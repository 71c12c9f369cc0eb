"""The arms that learn from rewards: subclasses of the public hook, and the fields of the configuration that each sets."""

from collections.abc import Callable
from typing import Any

import torch

from egpo_trl import EGPOTrainer
from egpo_trl.advantages import entropy_bonus, mean_cot_entropy


def per_token(advantages: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Advantages of shape (B, T)."""
    return (advantages.unsqueeze(1) if advantages.dim() == 1 else advantages).expand_as(like)


class StudyTrainer(EGPOTrainer):
    """EGPO, or GRPO with lambda 0, that records how large its bonus is beside the advantages."""

    def shape_advantages(
        self, advantages: torch.Tensor, entropies: torch.Tensor, cot_mask: torch.Tensor, logps: torch.Tensor
    ) -> torch.Tensor:
        shaped = super().shape_advantages(advantages, entropies, cot_mask, logps)
        self.record(per_token(advantages, entropies), per_token(shaped, entropies), entropies, cot_mask)
        return shaped

    def record(
        self, advantages: torch.Tensor, shaped: torch.Tensor, entropies: torch.Tensor, cot_mask: torch.Tensor
    ) -> None:
        """Add the sums over the thoughts of rollouts with an advantage; all of shape (B, T)."""
        live = cot_mask & (advantages != 0)
        size = advantages.abs()
        if self.args.entropy_level == "sequence":
            entropies = mean_cot_entropy(entropies, cot_mask).unsqueeze(1)
        clipped = live & (self.args.egpo_lambda * entropies > size / self.args.egpo_alpha)
        bonus = torch.where(live, (shaped - advantages).abs(), 0.0).sum()
        sums = torch.stack([bonus, torch.where(live, size, 0.0).sum(), clipped.sum(), live.sum()])
        self.bonus_sums = getattr(self, "bonus_sums", torch.zeros(4, dtype=torch.float64)) + sums.double()


class UnclippedTrainer(StudyTrainer):
    """A + lambda H at the tokens of the thought, of every rollout."""

    def shape_advantages(
        self, advantages: torch.Tensor, entropies: torch.Tensor, cot_mask: torch.Tensor, logps: torch.Tensor
    ) -> torch.Tensor:
        plain = per_token(advantages, entropies)
        shaped = plain + torch.where(cot_mask, self.args.egpo_lambda * entropies, 0.0)
        self.record(plain, shaped, entropies, cot_mask)
        return shaped


class PositiveOnlyTrainer(StudyTrainer):
    """A + min(lambda H, |A| / alpha) where A > 0, else A."""

    def shape_advantages(
        self, advantages: torch.Tensor, entropies: torch.Tensor, cot_mask: torch.Tensor, logps: torch.Tensor
    ) -> torch.Tensor:
        plain = per_token(advantages, entropies)
        bonus = entropy_bonus(plain, entropies, self.args.egpo_lambda, self.args.egpo_alpha)
        shaped = torch.where(cot_mask & (plain > 0), plain + bonus, plain)
        self.record(plain, shaped, entropies, cot_mask)
        return shaped


class PlaceboTrainer(StudyTrainer):
    """The bonuses of EGPO, shuffled over the tokens of the batch that could get one."""

    def shape_advantages(
        self, advantages: torch.Tensor, entropies: torch.Tensor, cot_mask: torch.Tensor, logps: torch.Tensor
    ) -> torch.Tensor:
        plain = per_token(advantages, entropies)
        live = cot_mask & (plain != 0)
        bonuses = entropy_bonus(plain, entropies, self.args.egpo_lambda, self.args.egpo_alpha)[live]
        if not hasattr(self, "_shuffling"):  # a generator of its own, so that the rollouts keep their random numbers
            self._shuffling = torch.Generator().manual_seed(self.args.seed)
        order = torch.randperm(len(bonuses), generator=self._shuffling).to(bonuses.device)
        shaped = plain.clone()
        shaped[live] += bonuses[order]
        self.record(plain, shaped, entropies, cot_mask)
        return shaped


Fields = Callable[[float], dict[str, Any]]


def _egpo(level: str = "token", **fields: Any) -> Fields:
    return lambda value: {"egpo_lambda": value, "egpo_alpha": 2.0, "entropy_level": level, **fields}


# The trainer of each arm that learns from rewards, and the fields of its configuration by the value of its knob
TRAINERS: dict[str, tuple[type[StudyTrainer], Fields]] = {
    "grpo": (StudyTrainer, lambda rate: {"egpo_lambda": 0.0}),  # the learning rate is a setting of all arms
    "egpo_token": (StudyTrainer, _egpo()),
    "egpo_sequence": (StudyTrainer, _egpo("sequence")),
    # Without the clip, rollouts without an advantage get a bonus too, so that none is left out.
    "unclipped": (UnclippedTrainer, _egpo(drop_zero_advantages="never")),
    "positive_only": (PositiveOnlyTrainer, _egpo()),
    "placebo": (PlaceboTrainer, _egpo()),
    "entropy_loss": (StudyTrainer, lambda value: {"egpo_lambda": 0.0, "entropy_coef": value}),
}
