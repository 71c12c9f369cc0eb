"""Leaving out padding and rows without gradient: loss and gradient of the full batch, for every loss of TRL."""

import contextlib
import copy
import importlib
import math

import pytest
import torch
from peft import LoraConfig
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
from transformers.models.qwen3 import modeling_qwen3
from transformers.models.qwen3_moe import modeling_qwen3_moe
from trl import GRPOTrainer

from egpo_trl import EGPOTrainer
from egpo_trl.grpo.update_options import UpdateOptions, resolve_update_options
from tests.tiny import STOCK_UPDATES, checksum_reward, config, losses, prompts_only, tiny_model, train, weights

LOSS_TYPES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"]
PROMPTS, COMPLETIONS = (5, 9, 3, 7, 4, 6), (8, 3, 11, 2, 6, 12)
ADVANTAGES = (1.5, 0.0, -0.7, 0.9, 0.0, 0.0)
RELATIVE = 1e-9


class Float64Torch:
    """`torch` for a module under test, in which float32 is float64."""

    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture(autouse=True)
def float64(monkeypatch):
    """Models upcast norms, rotary embeddings and the head to float32, whose rounding would hide small errors."""
    modules = [modeling_qwen3, modeling_qwen3_moe]
    with contextlib.suppress(ModuleNotFoundError):  # TRL 1.14 computes whole logits
        modules.append(importlib.import_module("trl.kernels.chunked_logprob"))
    for module in modules:
        monkeypatch.setattr(module, "torch", Float64Torch())
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def make_batch(tokenizer, advantages=ADVANTAGES, margin: int = 4) -> dict[str, torch.Tensor]:
    """Rows of unequal lengths, padded wider than the longest, as a slice of a generation batch is; on-policy."""
    torch.manual_seed(1)
    rows, prompt_width, width = len(advantages), max(PROMPTS) + margin, max(COMPLETIONS) + margin
    start, end = (tokenizer.convert_tokens_to_ids(tag) for tag in ("<think>", "</think>"))
    prompt_mask = torch.zeros(rows, prompt_width, dtype=torch.long)
    completion_mask = torch.zeros(rows, width, dtype=torch.long)
    for row in range(rows):
        prompt_mask[row, prompt_width - PROMPTS[row] :] = 1
        completion_mask[row, : COMPLETIONS[row]] = 1
    ids = torch.randint(20, 200, (rows, prompt_width + width))
    ids[:, prompt_width] = start
    ids[::2, prompt_width + 4] = end
    mask = torch.cat([prompt_mask, completion_mask], dim=1)
    ids = ids.masked_fill(mask == 0, tokenizer.pad_token_id)
    return {
        "prompt_ids": ids[:, :prompt_width], "prompt_mask": prompt_mask,
        "completion_ids": ids[:, prompt_width:], "completion_mask": completion_mask,
        "advantages": torch.tensor(advantages), "num_items_in_batch": completion_mask.sum(),
    }  # fmt: skip


def off_policy(batch: dict[str, torch.Tensor], name: str = "old_per_token_logps") -> dict[str, torch.Tensor]:
    """Log-probabilities near those of the tiny policy; one far off, in a row without advantage."""
    torch.manual_seed(2)
    logps = -6.4 + 0.3 * torch.randn(batch["completion_ids"].shape)
    logps[1, 0] = -150.0 if name == "old_per_token_logps" else -6.0
    return {**batch, name: logps * batch["completion_mask"]}


def with_tool_results(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tool_mask = torch.ones_like(batch["completion_mask"])
    tool_mask[:, 1:3] = 0
    return {**batch, "tool_mask": tool_mask}


def with_vllm(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    batch = off_policy(off_policy(batch), "sampling_per_token_logps")
    return {**batch, "importance_sampling_ratio": torch.rand(batch["completion_ids"].shape) + 0.5}


def without_tokens(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    mask = batch["completion_mask"].clone()
    mask[[0, 3]] = 0  # as mask_truncated_completions does
    return {**batch, "completion_mask": mask}


# case -> what it does to the batch, options of both trainers, attributes of both
CASES = {
    "on-policy": (lambda batch: batch, {}, {}),
    "num_iterations": (off_policy, {"num_iterations": 2}, {}),
    "tool_mask": (lambda batch: with_tool_results(off_policy(batch)), {}, {}),
    "truncated": (without_tokens, {"mask_truncated_completions": True}, {}),
    "vllm": (with_vllm, {}, {"use_vllm": True, "vllm_importance_sampling_correction": True}),
    "off_policy_mask": (off_policy, {"off_policy_mask_threshold": 0.05}, {}),
    "pad_to_multiple_of": (off_policy, {"pad_to_multiple_of": 4}, {}),
    "beta": (lambda batch: off_policy(off_policy(batch), "ref_per_token_logps"), {}, {"beta": 0.1}),
    "top_entropy_quantile": (off_policy, {"top_entropy_quantile": 0.4}, {}),
    "entropy_coef": (off_policy, {"entropy_coef": 0.1}, {}),
    "delta": (off_policy, {"delta": 1.5, "epsilon_high": 0.28}, {}),
}


def build(folder, tokenizer, cls=EGPOTrainer, attributes=None, **options):
    model = tiny_model(tokenizer).double()
    names = {} if cls is EGPOTrainer else {"cls": cls._config}
    args = config(folder, **names, **options)
    trainer = cls(model, checksum_reward, args, prompts_only(4), processing_class=tokenizer)
    for name, value in (attributes or {}).items():
        setattr(trainer, name, value)
    args.beta = trainer.beta  # no reference model is loaded: the batch brings its log-probabilities
    if cls is EGPOTrainer:
        trainer._update_options = resolve_update_options(args, trainer.model, trainer.aux_loss_enabled)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


class Stock(GRPOTrainer):
    from trl import GRPOConfig as _config


def gradient(trainer, batch) -> tuple[float, torch.Tensor]:
    trainer.model.zero_grad()
    before = {name: value.clone() for name, value in batch.items()}
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    assert all(torch.equal(batch[name], before[name]) for name in before)  # it is buffered and used again
    parameters = [p for p in trainer.model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in parameters)  # every process takes part in every all-reduce
    return loss.item(), torch.cat([p.grad.flatten() for p in parameters])


def assert_same_gradient(ours, reference, batch, loss_type, level) -> None:
    results = []
    for trainer in (ours, reference):
        trainer.loss_type, trainer.importance_sampling_level = loss_type, level
        results.append(gradient(trainer, batch))
    (loss, grad), (expected_loss, expected_grad) = results
    assert math.isfinite(expected_loss)
    assert loss == pytest.approx(expected_loss, rel=RELATIVE, abs=1e-9)
    assert (grad - expected_grad).norm() <= RELATIVE * expected_grad.norm()
    assert expected_grad.norm() > 0


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_stock_trl(tmp_path, tiny_tokenizer, case):
    change, options, attributes = CASES[case]
    batch = change(make_batch(tiny_tokenizer))
    stock = build(tmp_path, tiny_tokenizer, Stock, attributes, **options)
    ours = build(tmp_path, tiny_tokenizer, attributes=attributes, egpo_lambda=0.0, **options)
    if "old_per_token_logps" in batch and not ours._update_options.drop_zero_advantages:
        batch["old_per_token_logps"][1, 0] = -6.0  # stock TRL has infinity times 0 there
    if "old_per_token_logps" in batch and ours._update_options.drop_zero_advantages:
        stock_batch = {**batch, "old_per_token_logps": batch["old_per_token_logps"].clone()}
        stock_batch["old_per_token_logps"][1, 0] = -6.0
        loss, grad = gradient(ours, batch)
        expected_loss, expected_grad = gradient(stock, stock_batch)
        assert loss == pytest.approx(expected_loss, rel=RELATIVE)  # and ours has not
        assert (grad - expected_grad).norm() <= RELATIVE * expected_grad.norm()
        batch = stock_batch
    for loss_type in LOSS_TYPES:
        for level in ("token", "sequence"):
            assert_same_gradient(ours, stock, batch, loss_type, level)


@pytest.mark.parametrize("case", ["on-policy", "num_iterations", "tool_mask", "beta", "pad_to_multiple_of"])
@pytest.mark.parametrize("entropy_level", ["token", "sequence"])
def test_with_the_bonus_they_are_those_of_the_full_batch(tmp_path, tiny_tokenizer, case, entropy_level):
    change, options, attributes = CASES[case]
    batch = change(make_batch(tiny_tokenizer))
    if "old_per_token_logps" in batch:
        batch["old_per_token_logps"][1, 0] = -6.0
    options = {**options, "entropy_level": entropy_level, "attributes": attributes}
    full = build(tmp_path, tiny_tokenizer, **options, **STOCK_UPDATES)
    ours = build(tmp_path, tiny_tokenizer, **options)
    for loss_type in LOSS_TYPES:
        assert_same_gradient(ours, full, batch, loss_type, "token")
    assert_same_gradient(ours, full, batch, "dapo", "sequence")


def shapes_of(trainer, monkeypatch) -> list[tuple[int, int]]:
    shapes: list[tuple[int, int]] = []
    stock = GRPOTrainer._get_per_token_logps_and_entropies

    def spy(self, model, input_ids, *args, **kwargs):
        shapes.append(tuple(input_ids.shape))
        return stock(self, model, input_ids, *args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", spy)
    return shapes


def test_what_is_computed(tmp_path, tiny_tokenizer, monkeypatch):
    batch = make_batch(tiny_tokenizer)
    wide = batch["prompt_ids"].shape[1] + batch["completion_ids"].shape[1]
    for options, in_training, in_evaluation in (
        ({}, (3, 7 + 11), (6, 9 + 12)),
        ({"pad_to_multiple_of": 4}, (3, 8 + 12), (6, 12 + 12)),
        ({"trim_padding": "never"}, (3, wide), (6, wide)),
        ({"drop_zero_advantages": "never"}, (6, 9 + 12), (6, 9 + 12)),
        ({"entropy_coef": 0.1}, (6, 9 + 12), (6, 9 + 12)),
        (STOCK_UPDATES, (6, wide), (6, wide)),
    ):
        trainer = build(tmp_path, tiny_tokenizer, **{"share_prefixes": "never", **options})
        shapes = shapes_of(trainer, monkeypatch)
        trainer._compute_loss(trainer.model, batch)
        trainer.model.eval()
        trainer._compute_loss(trainer.model, batch)
        monkeypatch.undo()
        assert shapes == [in_training, in_evaluation]


def test_dropping_despite_a_kl_term_drops_the_kl_of_these_rows(tmp_path, tiny_tokenizer):
    """The objective of `drop_zero_advantages='always'`: the policy loss and KL of the live rows alone."""
    attributes = {"beta": 0.1}
    options = {"attributes": attributes, "loss_type": "dapo", "egpo_lambda": 0.0}
    ours = build(tmp_path, tiny_tokenizer, drop_zero_advantages="always", **options)
    stock = build(tmp_path, tiny_tokenizer, **options, **STOCK_UPDATES)
    batch = off_policy(off_policy(make_batch(tiny_tokenizer)), "ref_per_token_logps")
    live = [0, 2, 3]
    rows = {name: value[live] if value.dim() else value for name, value in batch.items()}
    loss, grad = gradient(ours, batch)
    expected_loss, expected_grad = gradient(stock, rows)
    assert loss == pytest.approx(expected_loss, rel=RELATIVE)
    assert (grad - expected_grad).norm() <= RELATIVE * expected_grad.norm()
    logs, expected = {}, {}
    ours.log(logs)
    stock.log(expected)
    for name in ("kl", "entropy", "egpo/cot_entropy", "egpo/answer_entropy"):
        assert logs[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_batch_without_a_live_row_has_gradient_zero(tmp_path, tiny_tokenizer, loss_type):
    ours = build(tmp_path, tiny_tokenizer, egpo_lambda=5.0)
    ours.loss_type = loss_type
    batch = off_policy(make_batch(tiny_tokenizer, advantages=[0.0] * 6))
    loss, grad = gradient(ours, batch)
    assert loss == 0.0
    assert not grad.any()
    logs: dict[str, float] = {}
    ours.log(logs)
    assert logs["update/dropped_rows_ratio"] == 1.0
    assert not {"entropy", "egpo/cot_entropy", "egpo/answer_entropy"} & logs.keys()


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_metrics_are_those_of_all_rows_where_no_entropy_is_needed(tmp_path, tiny_tokenizer, level):
    options = {"importance_sampling_level": level, "loss_type": "dapo"}
    full = build(tmp_path, tiny_tokenizer, **options, **STOCK_UPDATES)
    ours = build(tmp_path, tiny_tokenizer, **options)
    batch = with_tool_results(off_policy(make_batch(tiny_tokenizer)))
    batch["old_per_token_logps"][1, 0] = -6.0
    logs = []
    for trainer in (ours, full):
        log: dict[str, float] = {}
        trainer._compute_loss(trainer.model, batch)
        trainer.log(log)
        logs.append(log)
    covers_less = {"entropy", "egpo/cot_entropy", "egpo/answer_entropy"}
    work = {f"update/{name}" for name in ("dropped_rows_ratio", "padding_removed_ratio", "computed_tokens_ratio")}
    assert logs[0].keys() == logs[1].keys()
    for name in logs[0].keys() - covers_less - work:
        assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-5), name
    assert logs[0]["clip_ratio/region_mean"] > 0
    padded = 6 * (13 + 16)
    tokens, kept = sum(PROMPTS) + sum(COMPLETIONS), sum(PROMPTS[i] + COMPLETIONS[i] for i in (0, 2, 3))
    assert logs[0]["update/dropped_rows_ratio"] == 0.5
    assert logs[0]["update/computed_tokens_ratio"] == pytest.approx(3 * 18 / padded)
    assert logs[0]["update/padding_removed_ratio"] == pytest.approx(1 - (3 * 18 - kept) / (padded - tokens))
    assert [logs[1][name] for name in sorted(work)] == [1.0, 0.0, 0.0]


# Whole training runs

RUNS = {
    "accumulation": {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 4},
    "several steps a generation": {"gradient_accumulation_steps": 2, "steps_per_generation": 4,
                                   "per_device_train_batch_size": 4, "max_steps": 3},
    "iterations": {"num_iterations": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4,
                   "max_steps": 3},
    "lora": {"peft_config": LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
             "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
    "checkpointing": {"gradient_checkpointing": True, "gradient_accumulation_steps": 2,
                      "per_device_train_batch_size": 4},
    "multiples": {"pad_to_multiple_of": 8, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
}  # fmt: skip


def same_update(ours, stock, start: dict[str, torch.Tensor], relative: float = RELATIVE) -> None:
    a, b = weights(ours), weights(stock)
    names = [name for name in a if name not in start or not torch.equal(start[name], b[name])]
    assert names
    base = torch.cat([start.get(name, torch.zeros_like(b[name])).flatten() for name in names])
    moved, expected = (torch.cat([x[name].flatten() for name in names]) for x in (a, b))
    assert (moved - expected).norm() <= relative * (expected - base).norm()
    for (loss, norm), (expected_loss, expected_norm) in zip(losses(ours), losses(stock), strict=True):
        assert loss == pytest.approx(expected_loss, rel=1e-6, abs=1e-7)  # the log adds losses up in float32
        assert norm == pytest.approx(expected_norm, rel=relative)


def mixed_reward(completions, **_) -> list[float]:
    """Every second group of four is all wrong."""
    return [float(index // 4 % 2 and index % 2) for index in range(len(completions))]


@pytest.mark.parametrize(("run", "loss_type"), [*((run, "dapo") for run in RUNS), ("accumulation", "bnpo")])
def test_training_ends_where_stock_trl_ends(tmp_path, tiny_tokenizer, run, loss_type):
    options = {"max_steps": 2, **RUNS[run], "loss_type": loss_type, "optim": "sgd", "reward": mixed_reward}
    start = tiny_model(tiny_tokenizer).double()
    stock = train(tmp_path, tiny_tokenizer, GRPOTrainer, copy.deepcopy(start), **options)
    ours = train(tmp_path, tiny_tokenizer, model=copy.deepcopy(start), egpo_lambda=0.0, **options)
    same_update(ours, stock, {} if run == "lora" else start.state_dict())
    assert sum(log["update/dropped_rows_ratio"] for log in ours.state.log_history if "loss" in log) > 0


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("egpo_lambda", [0.0, 0.4])
def test_training_for_every_loss(tmp_path, tiny_tokenizer, run, loss_type, level, egpo_lambda):
    options = {
        "max_steps": 2, **RUNS[run], "loss_type": loss_type, "importance_sampling_level": level, "optim": "sgd",
        "reward": mixed_reward, "egpo_lambda": egpo_lambda, "entropy_span": "completion",
    }  # fmt: skip
    start = tiny_model(tiny_tokenizer).double()
    full = train(tmp_path, tiny_tokenizer, model=copy.deepcopy(start), **options, **STOCK_UPDATES)
    ours = train(tmp_path, tiny_tokenizer, model=copy.deepcopy(start), **options)
    same_update(ours, full, {} if run == "lora" else start.state_dict())


def test_two_runs_with_one_seed_end_with_the_same_bits(tmp_path, tiny_tokenizer):
    options = {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 4, "num_iterations": 2, "max_steps": 3}
    first, second = (weights(train(tmp_path, tiny_tokenizer, reward=mixed_reward, **options)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_old_log_probabilities_of_live_rows_only(tmp_path, tiny_tokenizer, monkeypatch):
    shapes: list[tuple[int, int]] = []
    seen: list[dict] = []

    class Spy(EGPOTrainer):
        def _generate_and_score_completions(self, inputs):
            shapes.clear()
            output = super()._generate_and_score_completions(inputs)
            seen.append({"rows": sum(rows for rows, _ in shapes), "calls": len(shapes), **output})
            return output

    shapes = shapes_of(None, monkeypatch)
    train(
        tmp_path, tiny_tokenizer, Spy, reward=mixed_reward, num_iterations=2, gradient_accumulation_steps=2,
        per_device_train_batch_size=4, max_steps=1, share_prefixes="never",
    )  # fmt: skip
    (batch,) = seen
    live = batch["advantages"] != 0
    assert 0 < live.sum() < len(live)
    assert (batch["rows"], batch["calls"]) == (live.sum(), 2)
    old = batch["old_per_token_logps"]
    assert (old[live] * batch["completion_mask"][live] != 0).sum() == batch["completion_mask"][live].sum()
    assert old[~live].isnan().all()


@pytest.mark.parametrize("peft_config", [None, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")])
def test_reference_and_old_policy_score_live_rows_only(tmp_path, tiny_tokenizer, monkeypatch, peft_config):
    """Dropped despite a KL term: both passes then wait for the advantages, and their other rows are not a number."""
    shapes: list[tuple[int, int]] = []
    seen: list[dict] = []

    class Spy(EGPOTrainer):
        def _generate_and_score_completions(self, inputs):
            shapes.clear()
            output = super()._generate_and_score_completions(inputs)
            seen.append({"shapes": list(shapes), **output})
            return output

    shapes = shapes_of(None, monkeypatch)
    options = {
        "reward": mixed_reward, "num_iterations": 2, "beta": 0.1, "max_steps": 3, "dataset": prompts_only(),
        "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4, "peft_config": peft_config,
        "share_prefixes": "never",
    }  # fmt: skip
    start = tmp_path / "start"
    if peft_config is None:  # the reference model is loaded from a folder
        tiny_model(tiny_tokenizer).save_pretrained(start)
    model = str(start) if peft_config is None else None
    for mode in ("never", "always"):
        train(tmp_path, tiny_tokenizer, Spy, model=model, drop_zero_advantages=mode, **options)
    full, _, batch, second = seen
    live = batch["advantages"] != 0
    assert 0 < live.sum() < len(live)
    assert [sum(rows for rows, _ in x["shapes"]) for x in (full, batch)] == [2 * len(live), 2 * live.sum()]
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        assert batch[name][~live].isnan().all()
        assert torch.allclose(batch[name][live], full[name][live], atol=1e-4)
    live = second["advantages"] != 0  # the policy has moved away from the reference by now
    assert (second["old_per_token_logps"] - second["ref_per_token_logps"])[live].abs().max() > 1e-3


def test_an_advantage_that_comes_after_scoring_is_an_error(tmp_path, tiny_tokenizer):
    class Late(EGPOTrainer):
        def _prepare_inputs(self, generation_batch):
            return {**super()._prepare_inputs(generation_batch), "advantages": torch.ones(8)}

    with pytest.raises(RuntimeError, match=r"old_per_token_logps were not computed.*drop_zero_advantages='never'"):
        train(tmp_path, tiny_tokenizer, Late, reward=mixed_reward, num_iterations=2)


@pytest.mark.parametrize("case", ["num_iterations", "vllm"])
def test_the_mean_weight_of_vespo_is_that_of_live_rows(tmp_path, tiny_tokenizer, case):
    change, options, attributes = CASES[case]
    options = {**options, "loss_type": "vespo", "attributes": attributes}
    ours = build(tmp_path, tiny_tokenizer, **options)
    full = build(tmp_path, tiny_tokenizer, **options, **STOCK_UPDATES)
    batch = change(make_batch(tiny_tokenizer))
    if "importance_sampling_ratio" in batch:  # TRL's weight reads the ratios at padding too
        batch["importance_sampling_ratio"] = batch["importance_sampling_ratio"].masked_fill(
            batch["completion_mask"] == 0, 1.0
        )
    rows = {name: value[[0, 2, 3]] if value.dim() else value for name, value in batch.items()}
    logs: list[dict[str, float]] = [{}, {}]
    for trainer, inputs, log in ((ours, batch, logs[0]), (full, rows, logs[1])):
        trainer._compute_loss(trainer.model, inputs)
        trainer.log(log)
    assert logs[0]["vespo/phi_seq_mean"] == pytest.approx(logs[1]["vespo/phi_seq_mean"], rel=1e-5)
    assert 0 < logs[1]["vespo/phi_seq_mean"] < 1
    dead: dict[str, float] = {}
    ours._compute_loss(ours.model, {**batch, "advantages": torch.zeros(6)})
    ours.log(dead)
    assert "vespo/phi_seq_mean" not in dead


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"loss_type": "vespo"}, ["vespo/phi_seq_mean"]),
        ({"importance_sampling_level": "sequence", "loss_type": "grpo"}, ["low_mean", "high_mean", "region_mean"]),
        ({"importance_sampling_level": "sequence", "loss_type": "dapo"}, ["low_mean", "high_mean", "region_mean"]),
        ({"importance_sampling_level": "sequence", "loss_type": "cispo", "epsilon_high": 0.01}, ["cispo_clip_ratio"]),
    ],
)
@pytest.mark.parametrize("updates", [{}, STOCK_UPDATES])
def test_means_over_sequences_keep_their_meaning_with_advantages_by_token(
    tmp_path, tiny_tokenizer, options, names, updates
):
    """The bonus leaves the sign of an advantage as it is, and so what is clipped, or how a sequence weighs."""
    options = {"epsilon": 0.05, **options}
    batch = off_policy(make_batch(tiny_tokenizer, advantages=[1.5, 0.0, -0.7, 0.9, 0.0, -0.4]))
    batch["old_per_token_logps"][1] = 0.0  # a row without an advantage is on-policy for TRL too
    batch["old_per_token_logps"][4] = 0.0
    logs = []
    for egpo_lambda, kept in ((0.4, updates), (0.0, STOCK_UPDATES)):
        trainer = build(tmp_path, tiny_tokenizer, egpo_lambda=egpo_lambda, **options, **kept)
        on_policy = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            batch["completion_ids"].shape[1],
            compute_entropy=True,
        )[0].detach()
        dead = (batch["advantages"] == 0).unsqueeze(1)
        old = torch.where(dead, on_policy * batch["completion_mask"], batch["old_per_token_logps"])
        log: dict[str, float] = {}
        trainer._compute_loss(trainer.model, {**batch, "old_per_token_logps": old})
        trainer.log(log)
        logs.append(log)
    whole_vespo = options["loss_type"] == "vespo" and not updates
    for name in names:
        name = name if name in logs[0] else f"clip_ratio/{name}"
        expected = logs[1][name]
        if whole_vespo:  # the mean of the rows that were computed; the others weigh 1
            expected = (6 * expected - 2) / 4
        assert logs[0][name] == pytest.approx(expected, rel=1e-6), name
    assert any(logs[1].get(name, logs[1].get(f"clip_ratio/{name}")) > 0 for name in names)


def test_float32_gradients_differ_by_rounding(tmp_path, tiny_tokenizer, monkeypatch):
    """What docs/speed.md says of float32: sums over other shapes round otherwise."""
    monkeypatch.undo()  # of the fixture that makes the models compute in float64
    batch = off_policy(make_batch(tiny_tokenizer))
    batch["old_per_token_logps"][1, 0] = -6.0
    results = []
    for cls, options in ((EGPOTrainer, {"egpo_lambda": 0.0}), (Stock, {})):
        trainer = build(tmp_path, tiny_tokenizer, cls, **options)
        trainer.model.float()
        results.append([gradient(trainer, batch) for trainer.loss_type in LOSS_TYPES])
    for (loss, grad), (expected_loss, expected_grad) in zip(*results, strict=True):
        assert loss == pytest.approx(expected_loss, rel=1e-5, abs=1e-6)
        assert (grad - expected_grad).norm() <= 2e-5 * expected_grad.norm()


def test_a_mixture_of_experts_with_a_load_balancing_loss(tmp_path, tiny_tokenizer):
    """Only trimmed: the load-balancing loss reads every row."""
    torch.manual_seed(0)
    start = Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            vocab_size=len(tiny_tokenizer), hidden_size=32, intermediate_size=64, moe_intermediate_size=16,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=16, num_experts=4,
            num_experts_per_tok=2, router_aux_loss_coef=0.01,
            experts_implementation="eager",
            eos_token_id=tiny_tokenizer.eos_token_id, pad_token_id=tiny_tokenizer.pad_token_id,
        )
    ).double()  # fmt: skip
    options = {"optim": "sgd", "max_steps": 1, "router_aux_loss_coef": 0.01}
    stock = train(tmp_path, tiny_tokenizer, GRPOTrainer, copy.deepcopy(start), **options)
    ours = train(tmp_path, tiny_tokenizer, model=copy.deepcopy(start), egpo_lambda=0.0, **options)
    assert ours._update_options == UpdateOptions(True, True, False, False)
    assert ours.state.log_history[0]["aux_loss"] > 0
    same_update(ours, stock, start.state_dict(), relative=1e-6)  # the load-balancing loss is computed in float32
