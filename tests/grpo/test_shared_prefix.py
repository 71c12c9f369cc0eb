"""Shared prefixes computed once: loss, log-probabilities, entropies and gradient of stock TRL, over kinds of models."""

import copy
import logging

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig
from trl import GRPOTrainer
from trl.kernels import chunked_logprob

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.grpo import pack_attention, packed_forward
from egpo_trl.grpo.lean_trainer import LeanGRPOTrainer
from egpo_trl.grpo.live_rows import prompt_groups, sort_micro_batches
from egpo_trl.grpo.packed_forward import PassCost, plan_packs
from tests.grpo.test_lean_trainer import CASES, LOSS_TYPES, Float64Torch
from tests.tiny import checksum_reward, config, prompts_only, tiny_model, weights

SIZE = {
    "vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
KINDS = ["sliding_attention", "full_attention"] * 2

# name -> configuration of a model; every one must be exact with its attention implementations
MODELS = {
    "qwen3": transformers.Qwen3Config(**SIZE),
    "qwen2 sliding": transformers.Qwen2Config(**SIZE, use_sliding_window=True, sliding_window=7, max_window_layers=2),
    "llama": transformers.LlamaConfig(**SIZE),
    "mistral sliding": transformers.MistralConfig(**SIZE, sliding_window=9),
    "phi3": transformers.Phi3Config(**{name: value for name, value in SIZE.items() if name != "head_dim"}, sliding_window=11),
    "phi": transformers.PhiConfig(**SIZE),
    "gemma2": transformers.Gemma2Config(**SIZE, sliding_window=6, layer_types=KINDS),
    "gemma3": transformers.Gemma3TextConfig(**SIZE, sliding_window=6, layer_types=KINDS),
    "smollm3": transformers.SmolLM3Config(**SIZE),
    "gpt-oss": transformers.GptOssConfig(
        **SIZE, sliding_window=8, layer_types=KINDS, num_local_experts=4, num_experts_per_tok=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "mixture": transformers.Qwen3MoeConfig(**SIZE, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32),
    "granite": transformers.GraniteConfig(**SIZE),
    "olmo2": transformers.Olmo2Config(**SIZE),
}  # fmt: skip
MUST_FALL_BACK = {
    "recurrent": transformers.Qwen3NextConfig(**SIZE, layer_types=["linear_attention", "full_attention"] * 2, num_experts=4,
                                              num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16,
                                              linear_num_value_heads=2, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8),
    "state space": transformers.MambaConfig(vocab_size=400, hidden_size=32, num_hidden_layers=2, state_size=4),
    "learnt positions": transformers.GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1),
    "positions in the mask": transformers.FalconConfig(vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True),
    "length-reading rope": transformers.LlamaConfig(**SIZE, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}),
}  # fmt: skip
ALWAYS_PACK = PassCost(token=1.0, pair=0.0)


@pytest.fixture
def float64(monkeypatch):
    """
    The head and what models upcast to float32 are computed in float64, whose rounding hides nothing. Attention is computed
    in blocks that these short packs fill.
    """
    monkeypatch.setattr(pack_attention, "BLOCK", 16)
    for model in MODELS.values():
        module = __import__(type(model).__module__.replace("configuration_", "modeling_"), fromlist=["torch"])
        monkeypatch.setattr(module, "torch", Float64Torch())
    monkeypatch.setattr(chunked_logprob, "torch", Float64Torch())
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def groups_of_rows(pad: int, margin: int = 3, vocabulary: int = 400) -> dict[str, torch.Tensor]:
    """Two groups and a row alone; completions of one group that begin alike; every row padded."""
    torch.manual_seed(1)
    first, second, third = (torch.randint(20, vocabulary, (length,)) for length in (23, 17, 5))
    alike = torch.randint(20, vocabulary, (4,))
    rows = [(first, torch.randint(20, vocabulary, (length,))) for length in (9, 3, 12, 1)]
    rows += [(second, torch.cat([alike, torch.randint(20, vocabulary, (length,))])) for length in (5, 2)]
    rows += [(second, torch.cat([alike, torch.tensor([7, 7])])), (second, alike), (third, alike), (first, rows[0][1])]
    width, height = max(len(p) for p, _ in rows) + margin, max(len(c) for _, c in rows) + margin
    batch = {name: torch.full((len(rows), size), fill) for name, size, fill in (
        ("prompt_ids", width, pad), ("prompt_mask", width, 0), ("completion_ids", height, pad), ("completion_mask", height, 0)
    )}  # fmt: skip
    for at, (prompt, completion) in enumerate(rows):
        batch["prompt_ids"][at, width - len(prompt) :], batch["prompt_mask"][at, width - len(prompt) :] = prompt, 1
        batch["completion_ids"][at, : len(completion)], batch["completion_mask"][at, : len(completion)] = completion, 1
    advantages = torch.tensor([1.5, 0.0, -0.7, 0.9, 0.0, 0.3, -1.0, 0.6, 0.0, -0.4])
    return {**batch, "advantages": advantages, "num_items_in_batch": batch["completion_mask"].sum()}


def build(folder, model, tokenizer, share: str | None, **options):
    """A trainer around a model that packs wherever a prefix is shared; stock TRL's for `None`."""
    cls = GRPOTrainer if share is None else LeanGRPOTrainer
    extra = {"cls": cls_config(cls)} if share is None else {"cls": cls_config(cls), "share_prefixes": share}
    trainer = cls(
        model, checksum_reward, config(folder, **extra, **options), prompts_only(4), processing_class=tokenizer
    )
    trainer.current_gradient_accumulation_steps = 1
    if share is not None and trainer._shared_prefixes is not None:
        trainer._shared_prefixes._cost = ALWAYS_PACK
    trainer.model.train()
    return trainer


def cls_config(cls):
    from trl import GRPOConfig

    return GRPOConfig if cls is GRPOTrainer else cls._config_class


def model_of(name: str, attention: str, seed: int = 0):
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(
        copy.deepcopy(MODELS[name]), attn_implementation=attention, experts_implementation="eager"
    )
    return model.double()


def passes_of(trainer, monkeypatch) -> list[tuple[int, ...]]:
    """Shapes of the input ids of every forward pass from now on."""
    shapes: list[tuple[int, ...]] = []
    forward = trainer.model.forward

    def spy(*args, **kwargs):
        shapes.append(tuple((args[0] if args else kwargs["input_ids"]).shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(trainer.model, "forward", spy)
    return shapes


def gradients(trainer, batch) -> tuple[torch.Tensor, torch.Tensor]:
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.requires_grad])


ATTENTION = [
    (name, attention)
    for name in MODELS
    for attention in ("sdpa", "eager")
    if attention == "eager" or name not in ("gpt-oss", "gemma2")  # which have no sdpa
]


@pytest.mark.parametrize(("name", "attention"), ATTENTION)
def test_models(tmp_path, tiny_tokenizer, float64, monkeypatch, name, attention):
    model = model_of(name, attention)
    options = {"router_aux_loss_coef": 0.0} if name in ("gpt-oss", "mixture") else {}
    stock = build(tmp_path, copy.deepcopy(model), tiny_tokenizer, None, **options)
    ours = build(tmp_path, model, tiny_tokenizer, "auto", **options)
    assert ours._shared_prefixes is not None
    batch = groups_of_rows(0)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    arguments = (ids, mask, batch["completion_ids"].shape[1])
    shapes = passes_of(ours, monkeypatch)
    for trainer in (ours, stock):
        trainer.model.eval()
    got = ours._get_per_token_logps_and_entropies(ours.model, *arguments, compute_entropy=True)
    expected = stock._get_per_token_logps_and_entropies(stock.model, *arguments, compute_entropy=True)
    valid = batch["completion_mask"].bool()
    for a, b in zip(got[:2], expected[:2], strict=True):
        assert torch.equal(a[~valid], torch.zeros_like(a[~valid]))
        torch.testing.assert_close(a[valid], b[valid], rtol=0, atol=1e-9)
    assert shapes[-1][0] * shapes[-1][1] < ids.numel() / 2  # packed
    for trainer in (ours, stock):
        trainer.model.train()
    (loss, grad), (expected_loss, expected_grad) = gradients(ours, batch), gradients(stock, batch)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-9, atol=1e-12)
    assert (grad - expected_grad).norm() <= 1e-8 * expected_grad.norm()


@pytest.mark.parametrize("name", ["qwen3", "mistral sliding", "gemma3"])
def test_flex_attention_scores(tmp_path, tiny_tokenizer, monkeypatch, name):
    """Not compiled, and on a CPU it has a forward pass only: this is a pass of the old or the reference policy."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    batch = groups_of_rows(0)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    results = []
    for attention, share in (("flex_attention", "always"), ("sdpa", None)):
        trainer = build(tmp_path, model_of(name, attention).float(), tiny_tokenizer, share)
        trainer.model.eval()
        with torch.no_grad():
            scores = trainer._get_per_token_logps_and_entropies(
                trainer.model, ids, mask, batch["completion_ids"].shape[1]
            )
        results.append(scores[0])
    valid = batch["completion_mask"].bool()
    torch.testing.assert_close(results[0][valid], results[1][valid], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", MUST_FALL_BACK)
def test_models_that_fall_back(tmp_path, tiny_tokenizer, caplog, name):
    model = transformers.AutoModelForCausalLM.from_config(copy.deepcopy(MUST_FALL_BACK[name]))
    args = config(tmp_path, LeanGRPOTrainer._config_class)
    with caplog.at_level(logging.WARNING, "egpo_trl.grpo.lean_trainer"):
        trainer = LeanGRPOTrainer(model, checksum_reward, args, prompts_only(4), processing_class=tiny_tokenizer)
    assert trainer._shared_prefixes is None
    assert caplog.text.count("share_prefixes: off for this policy, since ") == 1


def test_never_says_nothing(tmp_path, tiny_tokenizer, caplog):
    trainer = build(tmp_path, tiny_model(tiny_tokenizer), tiny_tokenizer, "never")
    assert trainer._shared_prefixes is None
    assert "share_prefixes" not in caplog.text


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_losses(tmp_path, tiny_tokenizer, float64, loss_type, level):
    """Every loss and importance level, off-policy rows, tool results, dead rows and rows without a token."""
    model = tiny_model(tiny_tokenizer).double()
    options = {"importance_sampling_level": level, "loss_type": loss_type}
    stock = build(tmp_path, copy.deepcopy(model), tiny_tokenizer, None, **options)
    ours = build(tmp_path, model, tiny_tokenizer, "auto", **options)
    for case in ("on-policy", "num_iterations", "tool_mask", "truncated", "vllm", "beta", "entropy_coef"):
        change, _, attributes = CASES[case]
        batch = change(groups_of_rows(tiny_tokenizer.pad_token_id, vocabulary=200))
        for trainer in (ours, stock):
            for name, value in {"use_vllm": False, "beta": 0.0, **attributes}.items():
                setattr(trainer, name, value)
            trainer.entropy_coef = 0.1 if case == "entropy_coef" else 0.0
            trainer._entropy_bonus_enabled = case == "entropy_coef"
            trainer.args.beta = trainer.beta
        ours._update_options = ours._update_options.__class__(
            **{**vars(ours._update_options), "drop_zero_advantages": case not in ("beta", "entropy_coef")}
        )
        (loss, grad), (expected, expected_grad) = gradients(ours, batch), gradients(stock, batch)
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12, msg=case)
        assert (grad - expected_grad).norm() <= 1e-8 * expected_grad.norm(), case


@pytest.mark.parametrize("case", ["lora", "checkpointing", "bf16"])
def test_ways_to_train(tmp_path, tiny_tokenizer, case):
    """Whole runs end where those without sharing end, up to the rounding of their number format."""
    options = {
        "lora": {"peft_config": LoraConfig(r=4, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")},
        "checkpointing": {"gradient_checkpointing": True},
        "bf16": {"bf16": True},
    }[case]
    given = {"peft_config": options.pop("peft_config")} if "peft_config" in options else {}

    def run(share: str):
        settings = {
            "share_prefixes": share,
            "egpo_lambda": 0.4,
            "gradient_accumulation_steps": 2,
            "max_steps": 1,  # later rollouts may differ by a token
            "optim": "sgd",
            "learning_rate": 0.1,
            **options,
        }
        args = config(tmp_path / share, EGPOConfig, **settings)
        trainer = EGPOTrainer(
            tiny_model(tiny_tokenizer),
            checksum_reward,
            args,
            prompts_only(8),
            processing_class=tiny_tokenizer,
            **given,
        )
        if trainer._shared_prefixes is not None:
            trainer._shared_prefixes._cost = ALWAYS_PACK
        trainer.train()
        return trainer

    ours, stock = run("always"), run("never")
    computed = [log["update/computed_tokens_ratio"] for log in ours.state.log_history if "reward" in log]
    assert max(computed) < 0.9
    limit = 2e-3 if case == "bf16" else 1e-6
    a, b = weights(ours), weights(stock)
    assert max((a[name] - b[name]).abs().max().item() for name in b) < limit
    assert ours.state.log_history[0]["entropy"] == pytest.approx(stock.state.log_history[0]["entropy"], rel=limit)
    assert ours.state.log_history[0]["egpo/no_cot_ratio"] == stock.state.log_history[0]["egpo/no_cot_ratio"]


def forget_the_branches(monkeypatch) -> None:
    """Plant masks in which rows see each other."""
    masks = packed_forward.attention_masks

    def forgets_the_branches(config, packs, *shape):
        blind = [pack._replace(enter=pack.enter * 0, leave=pack.leave * 0 + 1) for pack in packs]
        return masks(config, blind, *shape)

    monkeypatch.setattr(packed_forward, "attention_masks", forgets_the_branches)


def test_the_check_catches_a_wrong_mask(tmp_path, tiny_tokenizer, monkeypatch, caplog):
    """An unknown model for which packing is wrong trains on stock passes, or not at all if sharing is demanded."""
    forget_the_branches(monkeypatch)
    model, batch = tiny_model(tiny_tokenizer), groups_of_rows(tiny_tokenizer.pad_token_id, vocabulary=200)
    stock = build(tmp_path, copy.deepcopy(model), tiny_tokenizer, None)
    ours = build(tmp_path, copy.deepcopy(model), tiny_tokenizer, "auto")
    with caplog.at_level(logging.WARNING, "egpo_trl.grpo.lean_trainer"):
        for _ in range(2):
            loss, grad = gradients(ours, batch)
    assert caplog.text.count("so prefixes are not shared") == 1
    expected, expected_grad = gradients(stock, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-7)
    assert (grad - expected_grad).norm() <= 1e-4 * expected_grad.norm()
    demanded = build(tmp_path, model, tiny_tokenizer, "always")
    with pytest.raises(RuntimeError, match="share_prefixes='always'"):
        gradients(demanded, batch)


@pytest.mark.parametrize("proof", ["rows are equal", "nothing is scored", "no tokens"])
def test_the_check_is_not_done_by_a_batch_that_proves_nothing(tmp_path, tiny_tokenizer, monkeypatch, proof):
    forget_the_branches(monkeypatch)
    trainer = build(tmp_path, tiny_model(tiny_tokenizer), tiny_tokenizer, "auto")
    batch = groups_of_rows(tiny_tokenizer.pad_token_id, vocabulary=200)
    first = {
        name: value[:4].clone() if isinstance(value, torch.Tensor) and value.dim() else value
        for name, value in batch.items()
    }
    if proof == "rows are equal":
        first = {
            name: value[:1].expand_as(value) if isinstance(value, torch.Tensor) and value.dim() else value
            for name, value in first.items()
        }
        first["advantages"] = torch.ones(4)
    elif proof == "nothing is scored":
        first["completion_mask"] *= 0
    else:
        first["completion_mask"] *= 0
        first["prompt_mask"] *= 0
    ids, mask = (torch.cat([first[f"prompt_{kind}"], first[f"completion_{kind}"]], dim=1) for kind in ("ids", "mask"))
    width = first["completion_ids"].shape[1]
    shared, forward = trainer._shared_prefixes, super(LeanGRPOTrainer, trainer)._get_per_token_logps_and_entropies
    passed = shared.check(trainer.model, lambda *a: forward(trainer.model, *a), ids, mask, width)
    assert (passed, shared.is_checked) == ((False, True) if proof == "rows are equal" else (True, False))


def test_a_row_too_long_for_the_bound_ends_the_plan():
    tokens = {0: np.arange(9000), **{row: np.concatenate([np.arange(300) + 9000, [row]]) for row in range(1, 5)}}
    assert plan_packs(tokens, ALWAYS_PACK, 2**27) is None


def test_the_mask_is_bounded(tmp_path, tiny_tokenizer, monkeypatch):
    """Groups are split where one pack would need a larger mask, down to rows alone."""
    tokens = {row: np.concatenate([np.arange(30), np.full(20, 100 + row)]) for row in range(8)}
    sizes = {}
    for limit in (10**9, 3 * 10**4, 100):
        plan = plan_packs(tokens, ALWAYS_PACK, limit)
        sizes[limit] = None if plan is None else [len(pack.places) for pack in plan.packs]
        assert plan is None or len(plan.packs) * plan.width**2 <= limit
    assert sizes[10**9] == [8]
    assert sizes[100] is None
    assert sum(sizes[3 * 10**4]) == 8
    assert len(sizes[3 * 10**4]) > 1


def test_prefixes_that_save_nothing_are_not_shared():
    rows = {row: np.array([1, 2, *range(10 * row + 10, 10 * row + 18)]) for row in range(8)}
    assert plan_packs(rows, PassCost(token=1.0, pair=100.0), 10**9) is None
    assert plan_packs({0: np.arange(9)}, ALWAYS_PACK, 10**9) is None


def test_rows_of_a_group_share_a_micro_batch(tmp_path, tiny_tokenizer):
    batch = groups_of_rows(tiny_tokenizer.pad_token_id)
    shuffled = {name: value[[0, 4, 2, 8, 5, 9, 3, 6, 1, 7]] if value.dim() else value for name, value in batch.items()}
    parts = [{name: value[at : at + 5] if value.dim() else value for name, value in shuffled.items()} for at in (0, 5)]
    groups = [
        prompt_groups(part["prompt_ids"], part["prompt_mask"]) for part in sort_micro_batches(parts, 2, False, True)
    ]
    assert groups[0] == [0] * 5  # the five rollouts of the longest prompt


def test_old_and_reference_policy_share_too(tmp_path, tiny_tokenizer, monkeypatch):
    """All three passes of a run with several iterations and a reference adapter are packed."""
    lora = LoraConfig(r=4, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    logs = {}
    for share in ("always", "never"):
        args = config(
            tmp_path / share, EGPOConfig, share_prefixes=share, beta=0.1, num_iterations=2, max_steps=2, optim="sgd",
            learning_rate=0.1,
        )  # fmt: skip
        trainer = EGPOTrainer(
            tiny_model(tiny_tokenizer),
            checksum_reward,
            args,
            prompts_only(8),
            processing_class=tiny_tokenizer,
            peft_config=lora,
        )
        shapes = passes_of(trainer, monkeypatch)
        if trainer._shared_prefixes is not None:
            trainer._shared_prefixes._cost = ALWAYS_PACK
        trainer.train()
        logs[share] = [log for log in trainer.state.log_history if "reward" in log]
        logs[share + " rows"] = max(shape[0] for shape in shapes[-2:])
    assert logs["always rows"] <= 2 < logs["never rows"]
    for ours, stock in zip(logs["always"], logs["never"], strict=True):
        for name in ("loss", "kl", "entropy", "grad_norm"):
            assert ours[name] == pytest.approx(stock[name], rel=1e-3, abs=1e-6), name
