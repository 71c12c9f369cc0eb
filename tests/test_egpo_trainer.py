"""The trainer on stock TRL: Eq. 5 in the gradient, lambda = 0 bit for bit, and TRL's options beside it."""

import copy
import json
import logging

import pytest
import torch
from datasets import Dataset, IterableDataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

from egpo_trl import EGPOConfig, EGPOTrainer, ToolCallReward
from egpo_trl.rollouts.think_spans import ThinkTags
from tests.conftest import trl_template
from tests.tiny import (
    STOCK_UPDATES,
    checksum_reward,
    config,
    losses,
    prompts_only,
    tiny_model,
    tool_rows,
    train,
    weights,
)

LOSS_TYPES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"]


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# lambda = 0 is GRPO


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_lambda_zero_is_grpo_bit_for_bit(tmp_path, tiny_tokenizer, loss_type, level):
    kwargs = {"loss_type": loss_type, "importance_sampling_level": level, "num_iterations": 2, "max_steps": 3}
    stock = train(tmp_path, tiny_tokenizer, GRPOTrainer, **kwargs)
    ours = train(tmp_path, tiny_tokenizer, egpo_lambda=0.0, **kwargs, **STOCK_UPDATES)
    assert losses(ours) == losses(stock)
    assert any(grad_norm > 0 for _, grad_norm in losses(stock))
    assert same(weights(ours), weights(stock))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("entropy_level", ["token", "sequence"])
def test_every_loss_type_takes_shaped_advantages(tmp_path, tiny_tokenizer, loss_type, level, entropy_level):
    kwargs = {"loss_type": loss_type, "importance_sampling_level": level, "entropy_span": "completion", "max_steps": 1}
    stock = train(tmp_path, tiny_tokenizer, egpo_lambda=0.0, **kwargs)
    ours = train(tmp_path, tiny_tokenizer, egpo_lambda=0.4, entropy_level=entropy_level, **kwargs)
    assert all(torch.isfinite(value).all() for value in weights(ours).values())
    assert not same(weights(ours), weights(stock))
    assert ours.state.log_history[0]["egpo/bonus"] > 0


# Eq. 5 in the loss


def make_batch(tokenizer, texts: list[str], advantages: list[float]) -> dict[str, torch.Tensor]:
    prompts = [tokenizer.encode("Play Bach in order.")] * len(texts)
    completions = [tokenizer.encode(text) for text in texts]
    length = max(map(len, completions))
    pad = tokenizer.pad_token_id
    mask = torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids in completions])
    return {
        "prompt_ids": torch.tensor(prompts),
        "prompt_mask": torch.ones(len(texts), len(prompts[0]), dtype=torch.long),
        "completion_ids": torch.tensor([ids + [pad] * (length - len(ids)) for ids in completions]),
        "completion_mask": mask,
        "advantages": torch.tensor(advantages),
        "num_items_in_batch": mask.sum(),
    }


TEXTS = ["<think>call f with Bach</think>\n\nok", "<think>maybe", "no thought at all", "<think>the same</think>x y z"]
ADVANTAGES = [1.5, -0.7, 0.9, 0.0]


@pytest.mark.parametrize("entropy_level", ["token", "sequence"])
def test_the_gradient_is_that_of_eq_5(tmp_path, tiny_tokenizer, entropy_level):
    """Against float64 autograd on the plain logits: A_new in place of A, and no gradient through the entropy."""
    lam, alpha, temperature = 0.1, 2.0, 0.7  # clips the bonus of the second row and of no other
    args = config(
        tmp_path,
        egpo_lambda=lam,
        egpo_alpha=alpha,
        entropy_level=entropy_level,
        loss_type="grpo",
        temperature=temperature,
    )
    model = tiny_model(tiny_tokenizer).double()
    reference_model = copy.deepcopy(model)
    trainer = EGPOTrainer(model, checksum_reward, args, prompts_only(), processing_class=tiny_tokenizer)
    trainer.current_gradient_accumulation_steps = 1
    batch = make_batch(tiny_tokenizer, TEXTS, ADVANTAGES)
    batch["advantages"] = batch["advantages"].double()
    trainer.model.train()
    before = {name: value.clone() for name, value in batch.items()}
    trainer._compute_loss(trainer.model, batch).backward()
    assert all(torch.equal(batch[name], before[name]) for name in before)  # the buffered batch is not touched

    start, end = (tiny_tokenizer.convert_tokens_to_ids(tag) for tag in ("<think>", "</think>"))
    total = torch.zeros((), dtype=torch.float64)
    clipped = []
    for row in range(len(TEXTS)):
        prompt, ids = batch["prompt_ids"][row], batch["completion_ids"][row][batch["completion_mask"][row].bool()]
        logits = reference_model(torch.cat([prompt, ids])[None]).logits[0, len(prompt) - 1 : -1] / temperature
        logps = logits.log_softmax(-1)
        entropy = (-(logps.exp() * logps).sum(-1)).detach().tolist()
        cot, inside = [], False
        for token in ids.tolist():
            inside = (inside or token == start) and token != end
            cot.append(inside and token != start)
        a = ADVANTAGES[row]
        chosen = [h for h, c in zip(entropy, cot, strict=True) if c]
        mean = sum(chosen) / len(chosen) if chosen else 0.0
        clipped += [lam * h > abs(a) / alpha for h in chosen if a]
        for t, token in enumerate(ids.tolist()):
            if entropy_level == "token":
                shaped = a + min(lam * entropy[t], abs(a) / alpha) if cot[t] else a
            else:
                shaped = a + min(lam * mean, abs(a) / alpha)
            total = total - shaped * logps[t, token] / len(ids) / len(TEXTS)
    assert 0 < sum(clipped) < len(clipped)
    total.backward()
    ours = dict(trainer.model.named_parameters())
    for name, parameter in reference_model.named_parameters():  # TRL's head computes in float32
        torch.testing.assert_close(ours[name].grad, parameter.grad, rtol=1e-4, atol=1e-6)


def test_all_right_or_all_wrong_has_no_gradient(tmp_path, tiny_tokenizer):
    for value in (0.0, 1.0):
        trainer = train(
            tmp_path,
            tiny_tokenizer,
            reward=lambda completions, value=value, **_: [value] * len(completions),
            egpo_lambda=5.0,
            entropy_span="completion",
            max_steps=1,
        )
        assert losses(trainer)[0][1] == 0.0


@pytest.mark.parametrize("drop", ["auto", "never"])
def test_metrics_by_hand(tmp_path, tiny_tokenizer, drop):
    args = config(tmp_path, egpo_lambda=0.4, egpo_alpha=2.0, drop_zero_advantages=drop)
    trainer = EGPOTrainer(
        tiny_model(tiny_tokenizer), checksum_reward, args, prompts_only(), processing_class=tiny_tokenizer
    )
    trainer.current_gradient_accumulation_steps = 2
    trainer.model.train()
    entropies, lengths, bonuses, clipped, answers = [], [], [], [], []
    for texts, advantages in ((TEXTS[:1], [0.02]), (TEXTS[1:], [9.0, 0.9, 0.0])):  # micro-batches of unequal size
        batch = make_batch(tiny_tokenizer, texts, advantages)
        tags = ThinkTags(tiny_tokenizer)
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        cot = tags.cot_mask(*(batch[name] for name in names))
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        _, entropy, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, batch["completion_ids"].shape[1], compute_entropy=True
        )
        trainer._compute_loss(trainer.model, batch)
        for row, a in enumerate(advantages):
            chosen = entropy[row][cot[row]].tolist()
            lengths += [len(chosen)] if chosen else []
            if a != 0 or drop == "never":
                entropies += chosen
                answers += entropy[row][batch["completion_mask"][row].bool() & ~cot[row]].tolist()
            bonuses += [min(0.4 * h, abs(a) / 2) for h in chosen]
            clipped += [0.4 * h > abs(a) / 2 for h in chosen if a != 0]
    logs: dict[str, float] = {}
    trainer.log(logs)
    assert logs["egpo/cot_entropy"] == pytest.approx(sum(entropies) / len(entropies), rel=1e-5)
    assert logs["egpo/answer_entropy"] == pytest.approx(sum(answers) / len(answers), rel=1e-5)
    both = entropies + answers
    if drop == "auto":  # otherwise TRL's own: a mean over micro-batches
        assert logs["entropy"] == pytest.approx(sum(both) / len(both), rel=1e-5)
    assert logs["update/dropped_rows_ratio"] == (0.25 if drop == "auto" else 0.0)
    assert logs["egpo/cot_length"] == pytest.approx(sum(lengths) / len(lengths), rel=1e-6)
    assert logs["egpo/no_cot_ratio"] == pytest.approx(1 / 4)
    assert logs["egpo/bonus"] == pytest.approx(sum(bonuses) / len(bonuses), rel=1e-5)
    assert logs["egpo/bonus_clipped_ratio"] == pytest.approx(sum(clipped) / len(clipped))
    assert 0 < sum(clipped) < len(clipped)


# TRL's options


@pytest.mark.parametrize(
    "options",
    [
        {"num_iterations": 3, "max_steps": 3},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
        {
            "gradient_accumulation_steps": 2,
            "steps_per_generation": 4,
            "per_device_train_batch_size": 4,
            "max_steps": 3,
        },
        {"gradient_checkpointing": True},
        {"scale_rewards": "batch"},
        {"scale_rewards": "none"},
        {"mask_truncated_completions": True},
        {"top_entropy_quantile": 0.2},
        {"entropy_coef": 0.01},
        {"beta": 0.1},
        {"beta": 0.1, "peft_config": LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")},
        {"bf16": True},
        {"delta": 2.0, "epsilon_high": 0.28},
        {"off_policy_mask_threshold": 0.5, "num_iterations": 2},
        {"pad_to_multiple_of": 8},
        {"eval_strategy": "steps", "eval_steps": 1, "eval_dataset": prompts_only(2)},
    ],
    ids=lambda options: ",".join(options),
)
def test_option(tmp_path, tiny_tokenizer, options):
    """Each option trains with a chain of thought that the template opens, and the bonus is what makes the difference."""
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template += "{%- if add_generation_prompt %}<think>{% endif -%}"
    model = tiny_model(tokenizer)
    start = copy.deepcopy(model.state_dict())
    model.save_pretrained(tmp_path / "policy")  # TRL loads the reference model from where the policy came from

    def run(**egpo):
        options_of_its_own = copy.deepcopy(options)
        return train(
            tmp_path, tokenizer, model=str(tmp_path / "policy"), **{"egpo_lambda": 0.02, **egpo}, **options_of_its_own
        )

    stock, token, sequence = run(egpo_lambda=0.0), run(), run(entropy_level="sequence")
    for trainer in (stock, token, sequence):
        assert all(torch.isfinite(value).all() for value in weights(trainer).values())
    if "mask_truncated_completions" in options:  # no rollout of this policy ends by itself, so none counts
        assert all(same(weights(trainer), start) for trainer in (stock, token, sequence))
        assert not any("egpo/bonus" in log for log in token.state.log_history)
        return
    assert not same(weights(stock), start) or "peft_config" in options
    assert not same(weights(token), weights(stock))
    assert not same(weights(sequence), weights(stock))
    for trainer in (token, sequence):
        logs = [log for log in trainer.state.log_history if "egpo/bonus" in log]
        assert logs[0]["egpo/bonus"] > 0
        assert logs[0]["egpo/cot_length"] > 1
        assert logs[0]["egpo/cot_entropy"] > 0
    if "eval_dataset" in options:
        assert any("eval_egpo/cot_entropy" in log for log in token.state.log_history)


def test_continuous_batching(tmp_path, tiny_tokenizer):
    trainer = train(
        tmp_path, tiny_tokenizer, entropy_span="completion", use_transformers_continuous_batching=True, max_steps=1
    )
    assert trainer.state.log_history[0]["egpo/bonus"] > 0


def test_iterable_dataset_skips_malformed_rows(tmp_path, tiny_tokenizer, caplog):
    rows = tool_rows(12).to_list()
    rows[1] = {**rows[1], "tools": "{"}
    rows[2] = {**rows[2], "reference": "[5]"}
    stream = IterableDataset.from_generator(lambda: iter(rows))
    with caplog.at_level(logging.WARNING, "egpo_trl.data.rows"):
        trainer = train(tmp_path, tiny_tokenizer, dataset=stream, reward=ToolCallReward())
    assert trainer.state.global_step == 2
    skipped = "".join(record.getMessage() for record in caplog.records if "skipped" in record.getMessage())
    assert "row 1 (id 'train-0-1'), field 'tools'" in skipped
    assert "row 2 (id 'train-0-2'), field 'reference'" in skipped


# Each row's own tools


def test_each_row_sees_its_own_tools(tmp_path, tiny_tokenizer):
    seen: dict[str, list] = {"tools": []}

    def spy(prompts, completions, tools, **_):
        seen["tools"] += tools
        return [0.0] * len(completions)

    rendered = []

    class Spy(EGPOTrainer):
        def _tokenize_prompts(self, prompts):
            output = super()._tokenize_prompts(prompts)
            rendered.extend(zip(prompts, output[0], strict=True))
            return output

    rows = tool_rows(4)
    trainer = train(
        tmp_path, tiny_tokenizer, Spy, dataset=rows, reward=spy, max_steps=1, eval_strategy="steps", eval_steps=1,
        eval_dataset=tool_rows(2),
    )  # fmt: skip
    assert trainer.state.global_step == 1
    by_text = {row["prompt"][0]["content"]: row for row in rows}
    assert len(rendered) == 8 + 8  # training, then evaluation of 2 rows with 4 rollouts each
    for prompt, ids in rendered:
        row = by_text[prompt[0]["content"]]
        text = tiny_tokenizer.decode(ids)
        names = [tool["function"]["name"] for tool in json.loads(row["tools"])]
        assert all(f"{name}(" in text for name in names)
        assert text.count("(") == len(names)
    assert set(seen["tools"]) == {row["tools"] for row in rows}


@pytest.mark.parametrize("render_tools", [True, False])
def test_calls_in_the_history_reach_the_template_as_objects(tmp_path, tiny_tokenizer, render_tools):
    function = {"name": "now", "arguments": '{"zone": "UTC"}'}
    history = [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "noon", "tool_call_id": "call_0", "name": "now"},
    ]
    rows = Dataset.from_list([{**row, "prompt": row["prompt"] + history} for row in tool_rows(4)])
    seen = []

    class Spy(EGPOTrainer):
        def _tokenize_prompts(self, prompts):
            apply = self.processing_class.apply_chat_template

            def spy(conversation, **options):
                seen.extend(conversation)
                return apply(conversation=conversation, **options)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(self.processing_class, "apply_chat_template", spy)
                return super()._tokenize_prompts(prompts)

    train(tmp_path, tiny_tokenizer, Spy, dataset=rows, render_tools=render_tools, max_steps=1)
    prompts = [messages for messages in seen if messages[0]["content"] != "?"]
    assert len(prompts) == 8
    for messages in prompts:
        assert messages[-2]["tool_calls"][0]["function"]["arguments"] == {"zone": "UTC"}
        assert "tool_calls" not in messages[0]


def test_render_tools_off_leaves_the_prompt_alone(tmp_path, tiny_tokenizer):
    rendered = []

    class Spy(EGPOTrainer):
        def _tokenize_prompts(self, prompts):
            output = super()._tokenize_prompts(prompts)
            rendered.extend(output[0])
            return output

    train(tmp_path, tiny_tokenizer, Spy, dataset=tool_rows(4), render_tools=False, max_steps=1)
    assert not any("(" in tiny_tokenizer.decode(ids) for ids in rendered)


def test_the_reward_is_bound_to_the_tokenizer(tmp_path, tiny_tokenizer):
    args = config(tmp_path)
    trainer = EGPOTrainer(
        tiny_model(tiny_tokenizer), ToolCallReward(), args, tool_rows(), processing_class=tiny_tokenizer
    )
    (reward,) = trainer.reward_funcs
    assert (reward.syntax, reward.thinking, reward.think_prefilled) == ("hermes", "required", False)
    assert trainer.reward_func_names == ["tool_call_reward"]


def test_reasons_are_logged(tmp_path, tiny_tokenizer):
    trainer = train(tmp_path, tiny_tokenizer, dataset=tool_rows(), reward=ToolCallReward(), max_steps=1)
    log = trainer.state.log_history[0]
    assert sum(value for name, value in log.items() if name.startswith("reason/")) == pytest.approx(1.0)
    assert {"egpo/no_cot_ratio", "update/dropped_rows_ratio", "update/computed_tokens_ratio"} <= log.keys()


# Saving and resuming


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, tiny_tokenizer):
    kwargs = {
        "entropy_span": "completion", "max_steps": 4, "save_strategy": "steps", "save_steps": 2, "num_iterations": 2,
        "lr_scheduler_type": "cosine",
    }  # fmt: skip
    whole = train(tmp_path / "whole", tiny_tokenizer, **kwargs)
    resumed = train(tmp_path / "resumed", tiny_tokenizer, resume=str(tmp_path / "whole" / "checkpoint-2"), **kwargs)
    assert resumed.state.global_step == 4
    assert same(weights(whole), weights(resumed))


def test_a_saved_model_loads_and_its_card_names_the_paper(tmp_path, tiny_tokenizer):
    from transformers import AutoModelForCausalLM

    trainer = train(tmp_path, tiny_tokenizer, save_strategy="steps", save_steps=1, max_steps=1)
    trainer.save_model(str(tmp_path / "final"))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "final", dtype=torch.float32)
    assert same(loaded.state_dict(), weights(trainer))
    trainer.create_model_card("demo")
    card = (tmp_path / "README.md").read_text()
    assert "EGPO" in card
    assert "2508.05118" in card


# One clear error before training


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("tools", "{", "row 1 (id 'train-0-1'), field 'tools'"),
        ("tools", '{"a": 1}', "must be a list of function schemas"),
        ("reference", '[{"name": "f"}]', "field 'reference': call 0: a call must have the keys"),
        ("prompt", [], "field 'prompt': must be a non-empty string or list"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, tiny_tokenizer, column, value, message):
    rows = tool_rows(4).to_list()
    rows[1][column] = value
    with pytest.raises(ValueError, match=r"train_dataset: 1 of 4 rows .*: 1 malformed") as error:
        train(tmp_path, tiny_tokenizer, dataset=Dataset.from_list(rows), reward=ToolCallReward())
    assert message in str(error.value)


def test_a_missing_column_is_named(tmp_path, tiny_tokenizer):
    with pytest.raises(ValueError, match="train_dataset lacks the column 'reference'"):
        train(tmp_path, tiny_tokenizer, dataset=prompts_only(), reward=ToolCallReward())
    with pytest.raises(ValueError, match=r"eval_dataset\['a'\] lacks the column 'prompt'"):
        train(tmp_path, tiny_tokenizer, eval_dataset={"a": Dataset.from_dict({"question": ["?"]})})


def test_a_template_that_ignores_tools(tmp_path, tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}<think>"
    with pytest.raises(ValueError, match="ignores tools"):
        train(tmp_path, tokenizer, dataset=tool_rows())


def test_a_tokenizer_without_think_tags(tmp_path, tiny_tokenizer, smollm2_tokenizer):
    model = tiny_model(smollm2_tokenizer)
    with pytest.raises(ValueError, match="No think tags found"):
        train(tmp_path, smollm2_tokenizer, model=model)
    trainer = train(tmp_path, smollm2_tokenizer, model=model, think_tags=["<think>", "</think>"], max_steps=1)
    assert trainer.state.log_history[0]["egpo/no_cot_ratio"] == 1.0
    train(tmp_path, smollm2_tokenizer, model=model, egpo_lambda=0.0, max_steps=1)


def test_a_template_that_closes_the_think_block(tmp_path, tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template += "{%- if add_generation_prompt %}<think>\n\n</think>\n\n{% endif -%}"
    with pytest.raises(ValueError, match="closes the think block in the prompt"):
        train(tmp_path, tokenizer)
    train(tmp_path, tokenizer, entropy_span="completion", max_steps=1)
    assert ToolCallReward().bind(tokenizer).thinking == "off"


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_nothink", "gemma4"])
def test_prompts_are_those_of_grpo(tmp_path, tiny_tokenizer, name):
    """Whatever the template's own default of thinking."""
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = trl_template(name)
    stock = train(tmp_path, tokenizer, GRPOTrainer, max_steps=1)
    ours = train(tmp_path, tokenizer, egpo_lambda=0.0, max_steps=1, **STOCK_UPDATES)
    assert losses(ours) == losses(stock)
    assert same(weights(ours), weights(stock))


def test_a_row_that_the_template_refuses_is_named(tmp_path, tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = (
        "{% if messages[0].role == 'critic' %}{{ raise_exception('no such role') }}{% endif %}"
        + (tokenizer.chat_template)
    )
    rows = tool_rows(4).to_list()
    rows[2]["prompt"] = [{"role": "critic", "content": "x"}, *rows[2]["prompt"]]
    with pytest.raises(
        ValueError, match=r"row 2 \(id 'train-0-2'\), the chat template does not render it.*no such role"
    ):
        train(tmp_path, tokenizer, dataset=Dataset.from_list(rows))
    with pytest.raises(ValueError, match=r"eval_dataset\['a'\]: 1 of 4 rows"):
        train(
            tmp_path, tokenizer, eval_strategy="steps", eval_steps=1, eval_dataset={"a": Dataset.from_list(rows)}
        )  # fmt: skip


def test_streams_are_checked_as_far_as_they_tell(tmp_path, tiny_tokenizer):
    without = IterableDataset.from_generator(lambda: iter(prompts_only(4).to_list()))
    with pytest.raises(ValueError, match="train_dataset lacks the column 'reference'"):
        train(tmp_path, tiny_tokenizer, dataset=without, reward=ToolCallReward())
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}<think>"
    with pytest.raises(ValueError, match="ignores tools"):
        train(tmp_path, tokenizer, dataset=IterableDataset.from_generator(lambda: iter(tool_rows(4).to_list())))


def test_a_transform_may_make_the_prompt(tmp_path, tiny_tokenizer):
    rows = Dataset.from_dict({"question": ["a", "b", "c", "d"]})
    rows = rows.with_transform(lambda batch: {"prompt": [[{"role": "user", "content": q}] for q in batch["question"]]})
    assert train(tmp_path, tiny_tokenizer, dataset=rows, max_steps=1).state.global_step == 1


def test_checkpoints_between_generations_are_told(tmp_path, tiny_tokenizer, caplog):
    with caplog.at_level(logging.WARNING, "egpo_trl.grpo.lean_trainer"):
        train(tmp_path, tiny_tokenizer, steps_per_generation=4, save_strategy="steps", save_steps=4, max_steps=1)
        assert "save_steps" not in caplog.text
        train(tmp_path, tiny_tokenizer, steps_per_generation=4, save_strategy="steps", save_steps=2, max_steps=1)
        assert "save_steps=2 is not a multiple of 4" in caplog.text


def test_a_grpo_config_is_refused(tmp_path, tiny_tokenizer):
    with pytest.raises(TypeError, match="must be an EGPOConfig"):
        EGPOTrainer(tiny_model(tiny_tokenizer), checksum_reward, config(tmp_path, GRPOConfig), prompts_only())


def test_a_trl_that_computes_no_entropies_is_refused(tmp_path, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(GRPOTrainer, "_compute_loss", lambda self, model, inputs: torch.zeros((), requires_grad=True))
    with pytest.raises(RuntimeError, match="without asking for entropies"):
        train(tmp_path, tiny_tokenizer, max_steps=1)
    monkeypatch.delattr(GRPOTrainer, "_tokenize_prompts")
    with pytest.raises(ImportError, match="_tokenize_prompts"):
        train(tmp_path, tiny_tokenizer, max_steps=1)


def test_truncated_completions_are_counted_and_survived(tmp_path, tiny_tokenizer):
    trainer = train(tmp_path, tiny_tokenizer, dataset=tool_rows(), reward=ToolCallReward(), max_completion_length=2)
    assert trainer.state.log_history[0]["reward"] == 0.0


def test_defaults():
    assert EGPOTrainer._tag_names == ["trl", "egpo"]
    assert EGPOConfig("x", use_cpu=True, bf16=False).egpo_lambda == 0.4
