"""Training with vLLM in the process of the trainer (colocate): what is sampled, by which weights, and what is learned."""

import json

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM

from egpo_trl import EGPOTrainer, ToolCallReward
from egpo_trl.cli import train as command
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from tests.tiny import config

FAST = {"learning_rate": 1e-3, "max_steps": 3}  # far enough a step that weights of the step before would be noticed
SMALL_GROUPS = {"per_device_train_batch_size": 64, "num_generations": 4}  # some of them without variance
LORA = LoraConfig(r=8, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
DIFFERENCE = "sampling/sampling_logp_difference/mean"


def build(folder, rows=None, reward=None, model=None, **options) -> EGPOTrainer:
    """A trainer of the embedded policy whose rollouts vLLM samples."""
    extra = {name: options.pop(name) for name in ("peft_config",) if name in options}
    args = config(folder, **{
        "use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.1, "vllm_max_model_length": 512,
        "per_device_train_batch_size": 32, "num_generations": 8, "max_completion_length": 96, "beta": 0.0, **options,
    })  # fmt: skip
    model = str(demo_policy_path()) if model is None else model
    return EGPOTrainer(model, reward or ToolCallReward(), args, rows or Dataset.from_list(make_rows(64)), **extra)


def logs(trainer) -> list[dict]:
    return [log for log in trainer.state.log_history if "loss" in log]


def weights_in_vllm(trainer) -> dict[str, torch.Tensor]:
    return trainer.vllm_generation.llm.apply_model(
        lambda model: {name: value.detach().float().clone() for name, value in model.named_parameters()}
    )[0]


def weights_in_trainer(trainer) -> dict[str, torch.Tensor]:
    """Those of the policy, adapters merged, put together as vLLM holds them."""
    model, adapted = trainer.model, hasattr(trainer.model, "merge_adapter")
    if adapted:
        model.merge_adapter()
        model = model.get_base_model()
    found = {name.replace(".base_layer", ""): value.detach().clone() for name, value in model.named_parameters()
             if "lora_" not in name}  # fmt: skip
    if adapted:
        trainer.model.unmerge_adapter()
    for joined, parts in (("qkv_proj", ("q_proj", "k_proj", "v_proj")), ("gate_up_proj", ("gate_proj", "up_proj"))):
        for name in [name for name in found if f".{parts[0]}." in name]:
            pieces = [found.pop(name.replace(parts[0], part)) for part in parts]
            found[name.replace(parts[0], joined)] = torch.cat(pieces)
    return found


@pytest.mark.parametrize("options", [{}, {"peft_config": LORA}], ids=["full", "LoRA"])
def test_vllm_samples_with_the_weights_of_the_step(options, tmp_path, record_property):
    """Log-probabilities agree before the first and after every update, and the weights are those of the trainer."""
    trainer = build(tmp_path, **FAST, **options)
    trainer.train()
    assert [log[DIFFERENCE] < 0.01 for log in logs(trainer)] == [True] * 3, [log[DIFFERENCE] for log in logs(trainer)]
    trainer.vllm_generation.sync_weights()
    ours, theirs = weights_in_trainer(trainer), weights_in_vllm(trainer)
    assert ours.keys() == theirs.keys()
    start = AutoModelForCausalLM.from_pretrained(demo_policy_path(), dtype=torch.bfloat16).state_dict()
    for name, value in ours.items():
        assert torch.equal(value.bfloat16().float(), theirs[name][: len(value)]), name  # vLLM pads the vocabulary
    name = "model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(theirs[name], start[name].float())
    differences = [round(log[DIFFERENCE], 5) for log in logs(trainer)]
    record_property(f"difference of log-probabilities, three steps, {'LoRA' if options else 'full'}", differences)


def test_without_synchronisation_log_probabilities_part(tmp_path, record_property):
    """What the test above would not notice: how far the weights of the start are from those of the third step."""
    trainer = build(tmp_path, **FAST)
    trainer.vllm_generation.sync_weights = lambda: None
    trainer.train()
    first, *_, last = (log[DIFFERENCE] for log in logs(trainer))
    assert first < 0.01 < last
    record_property("the same in the third step with the weights of the first", round(last, 3))


def test_rows_that_are_dropped_change_no_update(tmp_path):
    """The importance ratios of vLLM enter the loss; rows without an advantage do not."""
    found = {}
    for mode in ("never", "auto"):
        trainer = build(tmp_path / mode, max_steps=1, drop_zero_advantages=mode, **SMALL_GROUPS)
        trainer.train()
        found[mode] = trainer
    for whole, lean in zip(logs(found["never"]), logs(found["auto"]), strict=True):
        assert lean["reward"] == whole["reward"]  # the same completions
        assert lean["loss"] == pytest.approx(whole["loss"], abs=1e-4)
        assert lean["grad_norm"] == pytest.approx(whole["grad_norm"], rel=2e-3)
        assert lean["update/dropped_rows_ratio"] > 0 == whole["update/dropped_rows_ratio"]
        for name in ("sampling/importance_sampling_ratio/mean", "sampling/importance_sampling_ratio/max"):
            assert lean[name] == pytest.approx(whole[name], rel=1e-3)
        assert lean["sampling/importance_sampling_ratio/max"] > 1


def test_each_row_has_its_own_tools(tmp_path):
    trainer = build(tmp_path, max_steps=1)
    seen, generate = [], trainer.vllm_generation.generate

    def spy(prompts, **kwargs):
        seen.extend(prompts)
        return generate(prompts=prompts, **kwargs)

    trainer.vllm_generation.generate = spy
    trainer.train()
    asked = {tuple(ids) for ids in seen}
    offered = {}
    for ids in asked:
        text = trainer.processing_class.decode(list(ids))
        row = next(row for row in make_rows(64) if row["prompt"][-1]["content"] in text)
        names = {tool["function"]["name"] for tool in json.loads(row["tools"])}
        assert all(name in text for name in names)
        offered[ids] = frozenset(names)
    assert len(seen) == 32
    assert len(set(offered.values())) > 1


def test_groups_without_variance_are_replaced(tmp_path):
    trainer = build(tmp_path, max_steps=2, dynamic_sampling_rounds=3, **SMALL_GROUPS)
    trainer.train()
    for log in logs(trainer):
        assert log["update/sampling_rounds"] >= 1
        assert log["update/extra_rollouts_ratio"] > 0
        assert log[DIFFERENCE] < 0.01
        assert 0.9 < log["sampling/importance_sampling_ratio/mean"] < 1.1


def test_sleep_mode_is_refused_on_a_cpu(tmp_path):
    with pytest.raises(ValueError, match="Sleep mode is not supported on current platform"):
        build(tmp_path, vllm_enable_sleep_mode=True)


VLLM = ["--use_vllm", "true", "--vllm_gpu_memory_utilization", "0.1", "--vllm_max_model_length", "512"]


def test_held_out_exact_match_rises(tmp_path, record_property):
    """The quickstart by its command, with vLLM for the rollouts."""
    command([
        "--config", "configs/train/quickstart.yaml", "--output_dir", str(tmp_path), "--max_steps", "20",
        "--per_device_train_batch_size", "64", "--learning_rate", "2e-4", "--max_validation_rows", "200", *VLLM,
    ])  # fmt: skip
    before, after = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("before", "after"))
    found = {
        name: (before[name]["exact_match"]["all"], after[name]["exact_match"]["all"]) for name in ("greedy", "sampled")
    }
    record_property("held-out exact match before and after 20 steps", found)
    assert all(new > old + 0.05 for old, new in found.values()), found


def test_tools_are_executed_over_several_turns(tmp_path):
    command([
        "--config", "configs/train/quickstart_multiturn.yaml", "--output_dir", str(tmp_path), "--max_steps", "2",
        "--per_device_train_batch_size", "32", "--num_demo_rows", "64", "--report", "false", "--logging_steps", "1",
        "--max_validation_rows", "4", *VLLM,
    ])  # fmt: skip
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    steps = [log for log in state["log_history"] if "loss" in log]
    assert len(steps) == 2
    for log in steps:
        assert log["tools/call_frequency"] > 1  # calls of a rollout: more than one turn
        assert log["tools/failure_frequency"] < 0.5
        assert log[DIFFERENCE] < 0.01
        assert log["reward"] > 0


def test_a_step_beside_transformers(tmp_path, record_property):
    """What vLLM saves on this machine; a CPU shows little of what a GPU does."""
    found = {}
    for name, options in (("vLLM", {}), ("transformers", {"use_vllm": False})):
        trainer = build(tmp_path / name, max_steps=4, per_device_train_batch_size=128, **options)
        trainer.train()
        found[name] = round(sorted(log["step_time"] for log in logs(trainer)[1:])[1], 2)
    record_property("seconds for a step of 128 rollouts", found)
    assert all(seconds > 0 for seconds in found.values())
