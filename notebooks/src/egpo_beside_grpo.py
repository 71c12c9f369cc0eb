# ---
# jupyter:
#   egpo:
#     executed: true
#     machine: CPU
#     shows: what the bonus does, and how large it is
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # EGPO beside GRPO
#
# The same model, rows and seed, once with the entropy bonus and once without, on a CPU. The point is not who wins: one
# short run each cannot tell, and over three seeds the two are within noise of each other on this task. The point is to
# see what the bonus does, and how large it is.

# %%
import os

from egpo_trl.utils.quiet import quiet_libraries

quiet_libraries()  # of what libraries say only the warnings that somebody can act on
short = bool(os.environ.get("EGPO_FAST"))  # the tests run a shorter form
steps, num_held_out = (2, 8) if short else (30, 100)

# %% [markdown]
# ## The bonus
#
# GRPO gives each rollout the advantage $A = (r - \mathrm{mean}) / \mathrm{std}$ of its group. EGPO (Eq. 5) adds
# $\min(\lambda E, |A| / \alpha)$, where $E$ is the entropy of the chain of thought: more where the model was undecided,
# never more than a part of $|A|$, and nothing where $A$ is 0.

# %%
import torch

from egpo_trl.advantages import entropy_bonus

advantages = torch.tensor([[-1.2], [-0.4], [0.0], [0.4], [1.2]])
entropies = torch.tensor([0.0, 0.1, 0.5, 2.0])
bonus = entropy_bonus(advantages, entropies.expand(5, 4), egpo_lambda=0.4, egpo_alpha=2.0)
print("A \\ E   " + "  ".join(f"{entropy:5.1f}" for entropy in entropies.tolist()))
for advantage, row in zip(advantages.flatten().tolist(), bonus.tolist(), strict=True):
    print(f"{advantage:5.1f}   " + "  ".join(f"{value:5.2f}" for value in row))

# %% [markdown]
# ## Two runs
#
# `EGPOTrainer` is TRL's `GRPOTrainer` with these advantages. With `egpo_lambda=0` it is `GRPOTrainer`.

# %%
from datasets import Dataset

from egpo_trl import EGPOConfig, EGPOTrainer, ToolCallReward, watch
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.evaluation.exact_match import exact_match, judge_rows

train_rows = Dataset.from_list(make_rows(2000))
held_out = make_rows(num_held_out, split="test")


def run(name, egpo_lambda):
    """Train from the same start; give the logs and the trained model."""
    config = EGPOConfig(
        output_dir=f"runs/{name}",
        egpo_lambda=egpo_lambda,
        egpo_alpha=2.0,
        num_generations=8,
        max_completion_length=112,
        per_device_train_batch_size=128,
        max_steps=steps,
        learning_rate=1e-4,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=5,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=0,
    )
    trainer = EGPOTrainer(str(demo_policy_path()), ToolCallReward(), config, train_rows)
    watch(trainer)
    trainer.train()
    return trainer.state.log_history, trainer.model, trainer.processing_class


runs = {"EGPO": run("EGPO", 0.4), "GRPO": run("GRPO", 0.0)}

# %% [markdown]
# ## The curves
#
# Thin: as logged. Thick: moving average. With several seeds of each, `egpo-trl curves EGPO=RUN,RUN GRPO=RUN,RUN` draws
# means with a band of one standard deviation; that is the picture to judge by.

# %%
from IPython.display import Image

from egpo_trl import draw_curves

Image(draw_curves({name: logs for name, (logs, _, _) in runs.items()}, "runs/egpo_grpo.png"))

# %% [markdown]
# The same to point at, with the rollouts of both runs:

# %%
from egpo_trl.reports.html_report import write_report

print(write_report(["EGPO=runs/EGPO", "GRPO=runs/GRPO"], "runs/egpo_beside_grpo.html"))

# %% [markdown]
# ## How large is the bonus?
#
# Look at these two numbers of a run before you credit the bonus with anything.

# %%
logs = [log for log in runs["EGPO"][0] if "egpo/bonus" in log]
for log in (logs[0], logs[-1]):
    print(
        f"step {log['step']}: chain-of-thought entropy {log['egpo/cot_entropy']:.3f} nats, "
        f"mean bonus {log['egpo/bonus']:.4f}, {log['egpo/bonus_clipped_ratio']:.0%} clipped"
    )

# %% [markdown]
# ## Exact match on held-out rows, greedy
#
# A hundred rows: the standard error of each figure is 3 to 4 points.

# %%
from transformers import AutoModelForCausalLM

start = AutoModelForCausalLM.from_pretrained(demo_policy_path())
models = {"before": start, **{name: model for name, (_, model, _) in runs.items()}}
for name, model in models.items():
    judged = judge_rows(model, runs["EGPO"][2], held_out, ToolCallReward(), max_new_tokens=112)
    print(f"{name:<7} {100 * exact_match(judged)['all']:5.1f} %")
