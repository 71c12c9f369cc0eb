"""A vision-language model takes TRL's path as it is: inputs with images are neither trimmed, dropped nor sorted."""

import copy

import numpy
import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from trl import GRPOConfig, GRPOTrainer

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.demo.policy import demo_policy_path
from tests.grpo.test_lean_trainer import mixed_reward
from tests.tiny import config, losses, weights

TEMPLATE = """{% for message in messages %}{{ message.role }}: {% if message.content is string %}{{ message.content }}\
{% else %}{% for part in message.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}{% endif %}
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"""


@pytest.fixture(scope="module")
def processor():
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    size = {"height": 16, "width": 16}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size), tokenizer=tokenizer,
        patch_size=8, vision_feature_select_strategy="default", chat_template=TEMPLATE, num_additional_image_tokens=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def start(processor):
    tokenizer, size = processor.tokenizer, {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**size, num_attention_heads=2, image_size=16, patch_size=8),
            text_config=LlamaConfig(**size, **special, num_attention_heads=2, vocab_size=len(tokenizer)),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"), image_seq_length=4,
        )
    )  # fmt: skip
    model.generation_config.update(**special)
    return model


def rows() -> Dataset:
    pixels = numpy.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), dtype=numpy.uint8)
    texts = [f"play {'Bach ' * (index % 3)}" for index in range(8)]
    prompts = [[{"role": "user", "content": text}] for text in texts]
    return Dataset.from_list(
        [{"prompt": p, "image": Image.fromarray(i)} for p, i in zip(prompts, pixels, strict=True)]
    )


def run(folder, start, processor, cls=EGPOTrainer, **options):
    args = config(
        folder, EGPOConfig if cls is EGPOTrainer else GRPOConfig, gradient_accumulation_steps=2,
        per_device_train_batch_size=4, **options,
    )  # fmt: skip
    trainer = cls(copy.deepcopy(start), mixed_reward, args, rows(), processing_class=processor)
    trainer.train()
    return trainer


@pytest.mark.parametrize("iterations", [1, 2])
def test_images_take_the_stock_path(tmp_path, start, processor, iterations):
    """Bit for bit at the default of every option, with dead groups and old log-probabilities."""
    stock = run(tmp_path, start, processor, GRPOTrainer, num_iterations=iterations)
    ours = run(tmp_path, start, processor, egpo_lambda=0.0, num_iterations=iterations)
    assert losses(ours) == losses(stock)
    a, b = weights(ours), weights(stock)
    assert all(torch.equal(a[name], b[name]) for name in b)
    assert not all(torch.equal(value, b[name]) for name, value in start.state_dict().items())
    logs = [log for log in ours.state.log_history if "loss" in log]
    assert any(log.get("frac_reward_zero_std") for log in logs)
    assert all(log["update/dropped_rows_ratio"] == 0.0 for log in logs)
    assert all(log["update/computed_tokens_ratio"] == 1.0 for log in logs)


def test_the_bonus_reaches_a_vision_language_model(tmp_path, start, processor):
    log = run(tmp_path, start, processor, entropy_span="completion").state.log_history[0]
    assert log["egpo/bonus"] > 0


def test_dynamic_sampling_is_refused(tmp_path, start, processor):
    with pytest.raises(ValueError, match="for text models only"):
        run(tmp_path, start, processor, dynamic_sampling_rounds=1)
