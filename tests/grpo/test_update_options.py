"""What is exact for which model and loss, and what is refused."""

import copy

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOTrainer

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.grpo.update_options import UpdateOptions, reads_length, resolve_update_options, sees_relative_positions
from tests.tiny import STOCK_UPDATES, losses, tiny_model, train


def options_for(tmp_path, model, aux_loss=False, **fields) -> UpdateOptions:
    """What is resolved beside shared prefixes, which have tests of their own."""
    args = EGPOConfig(str(tmp_path), use_cpu=True, bf16=False, **{"share_prefixes": "never", **fields})
    return resolve_update_options(args, model, aux_loss)


def test_auto_is_what_is_exact(tmp_path, tiny_tokenizer):
    model = tiny_model(tiny_tokenizer)
    assert options_for(tmp_path, model) == UpdateOptions(True, True, True, True)
    for fields in ({"entropy_coef": 0.1}, {"top_entropy_quantile": 0.5}, {"use_adaptive_entropy": True}):
        assert options_for(tmp_path, model, **fields) == UpdateOptions(True, True, False, False)
    assert options_for(tmp_path, model, aux_loss=True) == UpdateOptions(True, True, False, False)
    assert options_for(tmp_path, model, beta=0.1) == UpdateOptions(True, True, False, True)
    assert options_for(tmp_path, model, loss_type="bnpo") == UpdateOptions(True, True, True, False)
    assert options_for(tmp_path, model, loss_type="bnpo", sort_by_length="always").sort_by_length
    assert options_for(tmp_path, model, beta=0.1, drop_zero_advantages="always").drop_zero_advantages
    assert options_for(tmp_path, model, **STOCK_UPDATES) == UpdateOptions(False, False, False, False)
    with pytest.raises(ValueError, match="load-balancing"):
        options_for(tmp_path, model, aux_loss=True, drop_zero_advantages="always")


def test_prompts_are_trimmed_where_positions_are_relative(tmp_path, tiny_tokenizer):
    model = tiny_model(tiny_tokenizer)
    assert sees_relative_positions(model)
    rope = model.config.rope_parameters
    for rope_type, expected in (("llama3", True), ("yarn", True), ("dynamic", False), ("longrope", False)):
        model.config.rope_parameters = {**rope, "rope_type": rope_type}
        assert sees_relative_positions(model) == expected
        assert reads_length(model) == (not expected)
        assert options_for(tmp_path, model).trim_completions == expected
        assert options_for(tmp_path, model, trim_padding="always").trim_completions
    model.config.rope_parameters = {"full_attention": rope, "sliding_attention": {**rope, "rope_type": "dynamic"}}
    assert not sees_relative_positions(model)
    model.config.rope_parameters = rope
    model.config.layer_types = ["full_attention", "linear_attention"]
    assert not sees_relative_positions(model)
    prompt_tuning = PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    assert not sees_relative_positions(get_peft_model(tiny_model(tiny_tokenizer), prompt_tuning))
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    assert sees_relative_positions(get_peft_model(tiny_model(tiny_tokenizer), lora))
    absolute = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=16))
    assert options_for(tmp_path, absolute) == UpdateOptions(True, False, True, True)
    assert options_for(tmp_path, absolute, trim_padding="always").trim_prompts


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trim_padding": "on"}, "trim_padding must be one of"),
        ({"drop_zero_advantages": False}, "drop_zero_advantages must be one of"),
        ({"sort_by_length": "yes"}, "sort_by_length must be one of"),
        ({"drop_zero_advantages": "always", "entropy_coef": 0.1}, "entropy bonus or the entropy quantile"),
    ],
)
def test_one_clear_error(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        EGPOConfig(str(tmp_path), use_cpu=True, bf16=False, **fields)


def test_dynamic_rotary_embeddings_keep_their_gradient(tmp_path, tiny_tokenizer):
    """They read the width of the batch, so trimming right padding would change every token."""
    base = Qwen3Config.from_dict({**tiny_model(tiny_tokenizer).config.to_dict(), "max_position_embeddings": 12})
    base.rope_parameters = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}
    torch.manual_seed(0)
    start = Qwen3ForCausalLM(base)
    start.generation_config.eos_token_id = tiny_tokenizer.eos_token_id

    def run(cls, **options):
        return train(tmp_path, tiny_tokenizer, cls, model=copy.deepcopy(start), max_steps=1, **options)

    stock, ours = run(GRPOTrainer), run(EGPOTrainer, egpo_lambda=0.0)
    assert losses(ours)[0][1] == pytest.approx(losses(stock)[0][1], rel=1e-5)


def test_models_that_choose_among_keys_keep_their_prompts(tiny_tokenizer):
    model = tiny_model(tiny_tokenizer)
    model.config.model_type = "doge"
    assert not sees_relative_positions(model)
