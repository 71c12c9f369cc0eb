# ---
# jupyter:
#   egpo:
#     executed: true
#     machine: CPU
#     shows: rows, training, curves, completions before and after
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart: teach a tiny model to call tools
#
# A model of one million parameters learns to call the functions of a small tool world. It needs a CPU, no GPU, no
# download and a few minutes. Everything here is what a real run does, in small: rows, rollouts, a strict reward,
# EGPO's advantages, learning curves, and exact match before and after.

# %%
import os

from egpo_trl.utils.quiet import quiet_libraries

quiet_libraries()  # of what libraries say only the warnings that somebody can act on
short = bool(os.environ.get("EGPO_FAST"))  # the tests run a shorter form
steps, num_held_out = (2, 8) if short else (40, 200)

# %% [markdown]
# ## The rows
#
# A row holds a conversation, the functions on offer, and the right calls. An empty list of calls means that the right
# answer is text: no function fits.

# %%
import json

from egpo_trl.demo.world import make_rows

for row in make_rows(3):
    names = [tool["function"]["name"] for tool in json.loads(row["tools"])]
    print(f"{row['prompt'][-1]['content']}\n  functions: {', '.join(names)}\n  right: {row['reference']}\n")

# %% [markdown]
# ## Training
#
# `run_training` is what `egpo-trl train` and `train.py` call. Without a model and a data set it takes the embedded
# ones. In each step the model writes 8 answers to each of 16 requests; an answer is worth 1 if its format and its call
# are right, else 0. `egpo_lambda` and `egpo_alpha` are λ and α of the paper's Eq. 5; λ = 0 is GRPO.

# %%
from trl import ModelConfig

from egpo_trl import EGPOConfig
from egpo_trl.runs.script_arguments import EGPOScriptArguments
from egpo_trl.runs.training import run_training

config = EGPOConfig(
    output_dir="runs/quickstart",
    egpo_lambda=0.4,
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
    logging_steps=2,
    save_strategy="no",
    report_to="none",
)
run_training(EGPOScriptArguments(max_validation_rows=num_held_out), config, ModelConfig())

# %% [markdown]
# ## The picture
#
# The reward rises because the model finds out which of its two habits of thinking pays: repeating the request, or
# naming each argument before the call. The entropy of the chain of thought falls as it makes up its mind.

# %%
from IPython.display import Image

Image("runs/quickstart/learning_curves.png")

# %% [markdown]
# ## Before and after
#
# Greedy answers to requests that were held out. Each token of the chain of thought is shaded by its entropy: where the
# model was undecided.

# %%
from egpo_trl import show_completions

show_completions("runs/quickstart")

# %% [markdown]
# ## The report
#
# Curves to point at, why answers were wrong, and the rollouts themselves: filter them by verdict or step, sort them by
# reward or entropy, and put a group side by side. The same page is `runs/quickstart/report.html`, one file that works
# offline. (Where a saved notebook shows no page here, run the cell.)

# %%
from egpo_trl import show_report

show_report("runs/quickstart")

# %% [markdown]
# ## Ask the trained model

# %%
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl import ToolCallReward
from egpo_trl.evaluation.exact_match import judge_rows

model = AutoModelForCausalLM.from_pretrained("runs/quickstart")
tokenizer = AutoTokenizer.from_pretrained("runs/quickstart")
for item in judge_rows(model, tokenizer, make_rows(4, split="test"), ToolCallReward(), max_new_tokens=112):
    print(f"{item.row['prompt'][-1]['content']}\n{item.completion}\n=> {item.reason}\n")

# %% [markdown]
# ## Where to go from here
#
# - your own data: the notebook `own_data`
# - a real model on a GPU: the notebook `qwen3_qlora_t4`
# - what the reward accepts, and why it is 0: the notebook `reward_laboratory`
# - what the entropy bonus does: the notebook `egpo_beside_grpo`
# - tools that are executed, turn after turn: the notebook `multi_turn_agent`
