# ---
# jupyter:
#   egpo:
#     executed: false
#     machine: T4
#     shows: "Qwen3-1.7B in 4 bits (not run by us: no GPU at hand)"
#     extras: '[quantization]'
#     accelerator: GPU
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Qwen3 with QLoRA on a free T4
#
# Qwen3-1.7B in 4 bits with LoRA adapters, on the T4 of 15 GB that Colab lends (Runtime → Change runtime type → T4).
#
# **The authors have not run this notebook: no GPU was at hand, so it was saved without outputs.** The tests put its
# configuration through the real parsers and launch checks for a T4, and launch it for one step with a tiny model in
# 4 bits on a CPU. Memory is calculated, not measured.

# %%
import torch

if torch.cuda.is_available():
    device = torch.cuda.get_device_properties(0)
    print(f"{device.name}, {device.total_memory / 1e9:.1f} GB, compute capability {device.major}.{device.minor}")
else:
    print("No GPU: choose one with Runtime → Change runtime type → T4.")

# %% [markdown]
# ## Rows
#
# Single-turn conversations of the public Hermes data set, converted to rows. For your own file, see the notebook
# `own_data`. Rows whose calls do not fit their functions are dropped, and so are those with long lists of functions, whose
# prompts would not fit beside the rollouts.

# %%
from datasets import Dataset

from egpo_trl.data.ast_evaluation import ASTEvaluation
from egpo_trl.data.sources import convert

converted = convert(
    "NousResearch/hermes-function-calling-v1", "hermes", config="func_calling_singleturn", on_skip=lambda _: None
)
evaluated = ASTEvaluation(converted)
rows = [row for row in evaluated if len(row["tools"]) < 4000]  # characters, about 1,000 tokens
Dataset.from_list(rows).to_parquet("rows.parquet")
print(f"{len(rows)} rows; skipped {dict(converted.skipped)}, dropped {dict(evaluated.reasons)}")

# %% [markdown]
# ## The recipe
#
# A T4 lacks bfloat16: weights that are not quantized are float16, training is in mixed precision with float16 (`fp16`),
# the adapters and their optimizer are float32. `steps_per_generation: 1` generates 8 rollouts at a time, so that their
# KV cache fits. LoRA wants a learning rate ten times that of full fine-tuning and more: 1e-5 here, where the paper
# trains all weights with 1e-6.

# %%
from pathlib import Path

RECIPE = """\
# What to train, on what
model_name_or_path: Qwen/Qwen3-1.7B
dtype: float16
dataset_name: rows.parquet
validation_share: 0.05
max_validation_rows: 24
output_dir: runs/qlora-qwen3-1.7b

# 4-bit NF4 base, adapters on top
load_in_4bit: true
bnb_4bit_quant_type: nf4
use_bnb_nested_quant: true
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear

# EGPO (Eq. 5)
egpo_lambda: 0.4
egpo_alpha: 2.0
entropy_level: token

# Rollouts
num_generations: 8
temperature: 0.7
max_completion_length: 512
steps_per_generation: 1

# Optimization: 8 rollouts x 8 accumulation steps = 64 rollouts, 8 prompts a step
per_device_train_batch_size: 8
gradient_accumulation_steps: 8
max_steps: 50
learning_rate: 1.0e-5
lr_scheduler_type: constant_with_warmup
warmup_steps: 5
beta: 0.001
bf16: false
fp16: true
gradient_checkpointing: true

# Output
logging_steps: 1
save_strategy: steps
save_steps: 10
save_total_limit: 2
report_to: none
report: true
"""
Path("qlora_t4.yaml").write_text(RECIPE)
# %% [markdown]
# ## Will it fit, and how long will it take?
#
# From the model's configuration alone. Calculated for 2,048 tokens of prompt and completions of full length: rows with
# longer prompts need more memory, shorter completions less time. Nothing is measured. Generation with transformers, which
# this recipe uses, is slower than the memory of the GPU allows.

# %%
# !egpo-trl plan --config qlora_t4.yaml --gpu T4

# %% [markdown]
# ## Keep the checkpoints
#
# Colab forgets its disk when a session ends. With Google Drive mounted, the run is kept there; elsewhere it stays in this
# folder.

# %%
import importlib.util

if importlib.util.find_spec("google.colab") is not None:
    from google.colab import drive

    drive.mount("/content/drive")
    kept = Path("/content/drive/MyDrive/egpo-runs")
else:
    kept = Path("kept-runs")
kept.mkdir(parents=True, exist_ok=True)
if not Path("runs").exists():
    Path("runs").symlink_to(kept.resolve(), target_is_directory=True)
print("runs/ is", kept)

# %% [markdown]
# ## Train
#
# A checkpoint is saved every 10 steps. When Colab has ended the session, run the cells again, this one with
# `--resume_from_checkpoint true`. If memory runs out, halve `max_completion_length` first.

# %%
# !egpo-trl train --config qlora_t4.yaml

# %% [markdown]
# ## Curves
#
# Watch `frac_reward_zero_std`: a group whose answers are all right or all wrong teaches nothing. If most groups are all
# right, the rows are too easy for the model; if `reason/truncated` is large, `max_completion_length` is too short.

# %%
from IPython.display import Image

Image("runs/qlora-qwen3-1.7b/learning_curves.png")

# %% [markdown]
# ## Before and after
#
# Exact match on the rows that were held out, and completions with each token of the chain of thought shaded by its entropy.

# %%
from egpo_trl import show_completions, show_report

show_completions("runs/qlora-qwen3-1.7b")

# %%
show_report("runs/qlora-qwen3-1.7b")

# %% [markdown]
# ## Ask the trained model

# %%
import json

from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("runs/qlora-qwen3-1.7b", dtype="auto", device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("runs/qlora-qwen3-1.7b")


def ask(request, tools):
    """What the model answers to a request with some functions on offer."""
    options = {"tools": tools, "add_generation_prompt": True, "return_dict": True, "return_tensors": "pt"}
    inputs = tokenizer.apply_chat_template([{"role": "user", "content": request}], **options).to(model.device)
    output = model.generate(**inputs, max_new_tokens=512)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])


row = Dataset.from_parquet("rows.parquet")[0]
print(row["prompt"][-1]["content"])
print(ask(row["prompt"][-1]["content"], json.loads(row["tools"])))

# %% [markdown]
# ## Merge
#
# A plain model of the adapter and the base in 16 bits. Merging into the 4-bit base would round the weights again, so
# the unquantized one is named.

# %%
# !egpo-trl merge runs/qlora-qwen3-1.7b --model Qwen/Qwen3-1.7B --dtype float16 --output_dir merged
