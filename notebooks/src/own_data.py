# ---
# jupyter:
#   egpo:
#     executed: true
#     machine: CPU
#     shows: from a JSONL of tools and calls to a trained, evaluated model
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own data
#
# From a file of requests, functions and calls to a trained and evaluated model. It runs on a CPU with the embedded
# policy of a million parameters. With a model of yours only the name of the model and the batch change.

# %%
import os

from egpo_trl.utils.quiet import quiet_libraries

quiet_libraries()  # of what libraries say only the warnings that somebody can act on
short = bool(os.environ.get("EGPO_FAST"))  # the tests run a shorter form
steps, most_held_out = (2, 8) if short else (30, 100)

# %% [markdown]
# ## 1. The file
#
# One JSON object a line: `prompt` (a string, or a conversation as messages), `tools` (the functions on offer) and
# `reference` (the right calls; an empty list where the right answer is text). Here the file is made up from the embedded
# world so that the tiny policy knows the words; put yours in its place. Three lines are damaged on purpose.

# %%
import json
from pathlib import Path

from egpo_trl.demo.world import make_rows

records = [
    {
        "id": row["id"],
        "prompt": row["prompt"][-1]["content"],
        "tools": json.loads(row["tools"]),
        "reference": json.loads(row["reference"]),
    }
    for row in make_rows(1500)
]
records[10]["reference"] = {"name": "get_weather"}  # no list of calls
records[20]["reference"] = [{"name": "launch_rocket", "arguments": {}}]  # a function that the row does not offer
records[30] = records[31]  # the same request twice

path = Path("my_data.jsonl")
path.write_text("".join(json.dumps(record) + "\n" for record in records))
print(path.read_text().splitlines()[0])

# %% [markdown]
# ## 2. Rows
#
# `convert` reads your file into rows and reports what it cannot read. Other values of `source` read public formats:
# `xlam`, `toolace`, `hermes`, `sharegpt`, `messages`, … `ASTEvaluation` then drops rows whose calls do not fit their
# functions. On the command line these are `egpo-trl convert` and the last stage of `egpo-trl clean`, whose first stage
# asks a large model to judge and correct each answer, as the paper does.

# %%
from egpo_trl.data.ast_evaluation import ASTEvaluation
from egpo_trl.data.duplicates import Duplicates
from egpo_trl.data.sources import convert

converted = convert(str(path), "jsonl", on_skip=lambda skipped: print("skipped", skipped))
evaluated = ASTEvaluation(converted, [Duplicates()])
rows = list(evaluated)
print(
    f"{converted.num_records} records, {converted.num_rows} rows, dropped: {dict(evaluated.reasons)}, kept: {len(rows)}"
)

# %% [markdown]
# Rows with the same prompt stay on one side of the split.

# %%
from datasets import Dataset

from egpo_trl.data.loading import split_by_prompt

train_rows, held_out = split_by_prompt(Dataset.from_list(rows), share=0.1)
held_out = held_out.select(range(min(most_held_out, len(held_out))))
print(len(train_rows), "to train on,", len(held_out), "held out")

# %% [markdown]
# ## 3. What the model sees
#
# The chat template renders each row's own functions.

# %%
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.sampling.generate import render_prompt

MODEL = str(demo_policy_path())  # your model here
tokenizer = AutoTokenizer.from_pretrained(MODEL)
print(tokenizer.decode(render_prompt(tokenizer, train_rows[0])))

# %% [markdown]
# ## 4. Before
#
# Measure first. Train where the model is right sometimes: a group of answers that are all right or all wrong teaches
# nothing, and `frac_reward_zero_std` says how many groups are.

# %%
from egpo_trl import ToolCallReward
from egpo_trl.evaluation.exact_match import exact_match, judge_rows, reasons

reward = ToolCallReward()


def measure(model):
    """Greedy exact match on the held-out rows, in percent, with the reasons."""
    judged = judge_rows(model, tokenizer, list(held_out), reward, max_new_tokens=112)
    print(f"{100 * exact_match(judged)['all']:.1f} %  {reasons(judged)}")


measure(AutoModelForCausalLM.from_pretrained(MODEL))

# %% [markdown]
# ## 5. Training
#
# `EGPOTrainer` is TRL's `GRPOTrainer`: PEFT, vLLM, DeepSpeed and trackers are switched on as there. `watch` shows a live
# table and writes what curves and report are drawn from; `HeldOutCallback` measures before, during and after.

# %%
from egpo_trl import EGPOConfig, EGPOTrainer, HeldOutCallback, watch

config = EGPOConfig(
    output_dir="runs/own-data",
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
trainer = EGPOTrainer(MODEL, reward, config, train_rows)
watch(trainer)
trainer.add_callback(HeldOutCallback(trainer, held_out, every_steps=10))
trainer.train()
trainer.save_model()
tokenizer.save_pretrained(config.output_dir)
# %% [markdown]
# ## 6. After
#
# The saved model, loaded again, on the same rows.

# %%
measure(AutoModelForCausalLM.from_pretrained("runs/own-data"))

# %%
from egpo_trl import show_completions

show_completions("runs/own-data")

# %%
from IPython.display import Image

from egpo_trl import draw_curves
from egpo_trl.reports.run_log import read_log

Image(draw_curves({"EGPO": read_log("runs/own-data")}, "runs/own-data/learning_curves.png"))

# %%
from egpo_trl import show_report

show_report("runs/own-data")

# %% [markdown]
# ## The same as one command
#
# `egpo-trl convert my_data.jsonl --output rows.jsonl`, `egpo-trl clean --config CONFIG` for the AST evaluation and
# duplicates, and `egpo-trl train --config RECIPE --dataset_name CLEAN_ROWS`, with a report at the end.
