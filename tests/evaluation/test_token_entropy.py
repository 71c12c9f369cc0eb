"""Entropies of single completions against the metric of training."""

import pytest
import torch

from egpo_trl.evaluation.token_entropy import token_entropies
from tests.tiny import tiny_model


def test_entropies_are_those_of_the_softmax(tiny_tokenizer):
    model = tiny_model(tiny_tokenizer).train()
    prompt = tiny_tokenizer("Put on Dylan.")["input_ids"]
    text = "<think>maybe play_music</think>\n[f()]"
    completion = tiny_tokenizer(text)["input_ids"]
    tokens = token_entropies(model, tiny_tokenizer, prompt, completion, temperature=0.7)
    assert model.training
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].double()
    expected = torch.distributions.Categorical(logits=logits / 0.7).entropy().tolist()
    assert [entropy for _, entropy, _ in tokens] == pytest.approx(expected, abs=1e-4)
    assert "".join(piece for piece, _, _ in tokens) == text
    assert "".join(piece for piece, _, in_cot in tokens if in_cot) == "maybe play_music"
    assert token_entropies(model, tiny_tokenizer, prompt, []) == []


def test_characters_of_several_tokens_and_models_without_tags(smollm2_tokenizer):
    text = " zażółć 🙂 日本語\n  x"
    ids = smollm2_tokenizer(text)["input_ids"]
    model = tiny_model(smollm2_tokenizer)
    tokens = token_entropies(model, smollm2_tokenizer, [1], ids)
    assert len(tokens) == len(ids)
    assert "".join(piece for piece, _, _ in tokens) == text
    assert not any(in_cot for _, _, in_cot in tokens)


def test_adapters(tiny_tokenizer):
    from peft import LoraConfig, get_peft_model

    ids = tiny_tokenizer("<think>maybe play_music</think>\n[f()]")["input_ids"]
    plain = token_entropies(tiny_model(tiny_tokenizer), tiny_tokenizer, [1, 2], ids)
    adapted = get_peft_model(tiny_model(tiny_tokenizer), LoraConfig(target_modules="all-linear"))
    assert token_entropies(adapted, tiny_tokenizer, [1, 2], ids) == plain  # new adapters change nothing
