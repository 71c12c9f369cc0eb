# ---
# jupyter:
#   egpo:
#     executed: true
#     machine: CPU
#     shows: "tools that are executed: results, turns, state"
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A multi-turn agent
#
# So far an answer ended with its call. Here the calls are executed: the model sees what they return, thinks again, calls
# again, and ends with a text. It runs on a CPU, with a policy of a million parameters and environments that ship with the
# package.

# %%
import os

from egpo_trl.utils.quiet import quiet_libraries

quiet_libraries()  # of what libraries say only the warnings that somebody can act on
short = bool(os.environ.get("EGPO_FAST"))  # the tests run a shorter form
steps, num_held_out = (1, 4) if short else (20, 48)

# %% [markdown]
# ## An environment
#
# A class with `reset`, a `state`, and methods; each method is a tool, and its docstring and type hints are its schema.
# Yours are used in the same way, as `environments: ["package.module:Class"]`.

# %%
import json

from egpo_trl.environments import FileSystem

files = FileSystem()
files.reset(initial_state=json.dumps({"folders": {"desk": {"diary": "hello"}, "work": {}}}))
print(files.find_file("diary"))
print(files.move_file("diary", "desk", "work"))
print(files.move_file("diary", "desk", "work"))  # an error is a result too
print(files.state)

# %% [markdown]
# ## A row
#
# Beside the conversation and the functions on offer it names the environment, the state that it starts in, and the
# reference: for each step the calls, none in the last, which is a text. A rollout is right if it got the results of these
# calls, leaves the state that they leave, and keeps the template in every turn.

# %%
from egpo_trl.demo.multi_turn_world import make_rows

row = next(row for row in make_rows(100) if len(json.loads(row["trajectory"])) == 4)
print(row["prompt"][-1]["content"])
print("functions:", ", ".join(tool["function"]["name"] for tool in json.loads(row["tools"])))
print("state:    ", row["initial_state"])
for number, step in enumerate(json.loads(row["trajectory"]), 1):
    print(f"step {number}:   ", step or "text")

# %% [markdown]
# ## Training
#
# The rows come from the embedded multi-turn world, `demo-multiturn`. `max_tool_calling_iterations` bounds the turns with
# calls. Tokens of tool results are in no loss, no entropy and no chain of thought; results that hold control tokens or
# tags are defused before the model sees them.
#
# 20 steps of 12 requests take some minutes on two cores, enough to see it learn. In a clone, `make quickstart-multiturn`
# trains to the end.

# %%
from trl import ModelConfig

from egpo_trl import EGPOConfig
from egpo_trl.runs.script_arguments import EGPOScriptArguments
from egpo_trl.runs.training import run_training

config = EGPOConfig(
    output_dir="runs/agent",
    egpo_lambda=0.4,
    egpo_alpha=2.0,
    num_generations=8,
    max_completion_length=208,  # all turns and tool results together
    max_tool_calling_iterations=6,
    per_device_train_batch_size=96,
    max_steps=steps,
    learning_rate=2e-4,
    lr_scheduler_type="constant_with_warmup",
    warmup_steps=5,
    use_cpu=True,
    bf16=False,
    gradient_checkpointing=False,
    logging_steps=2,
    save_strategy="no",
    report_to="none",
)
script = EGPOScriptArguments(dataset_name="demo-multiturn", max_validation_rows=num_held_out)
run_training(script, config, ModelConfig(model_name_or_path="demo-multiturn"))

# %%
from IPython.display import Image

Image("runs/agent/learning_curves.png")

# %% [markdown]
# ## Before and after
#
# Whole rollouts on held-out rows, greedily. Each token of a chain of thought is shaded by its entropy.

# %%
from egpo_trl import show_completions

show_completions("runs/agent")

# %%
from egpo_trl import show_report

show_report("runs/agent")

# %% [markdown]
# ## A rollout, turn by turn
#
# The model at work on held-out rows; lines between `<tool_response>` tags are what the environment returned.

# %%
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl.environments import ENVIRONMENTS
from egpo_trl.evaluation.rollouts import judge_rollouts
from egpo_trl.rewards.trajectory import TrajectoryReward

model = AutoModelForCausalLM.from_pretrained("runs/agent")
tokenizer = AutoTokenizer.from_pretrained("runs/agent")
rows = [row for row in make_rows(40, split="test") if len(json.loads(row["trajectory"])) >= 3][:3]
limits = {"max_completion_length": 208, "max_tool_rounds": 6}
for item in judge_rollouts(model, tokenizer, rows, TrajectoryReward(ENVIRONMENTS), ENVIRONMENTS, **limits):
    print(f"{item.row['prompt'][-1]['content']}\n{item.completion}\n=> {item.reason}\n")

# %% [markdown]
# ## One step at a time
#
# `multi_turn="stepwise"` trains on the same rows without executing anything: each step of the reference becomes a row,
# with the history as prompt. That is the paper's way; rollouts are what the model will do later.
