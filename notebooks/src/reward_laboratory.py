# ---
# jupyter:
#   egpo:
#     executed: true
#     machine: CPU
#     shows: type a completion; see state, reason and spans
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reward laboratory
#
# Type a completion and see what the reward makes of it: what the answer is (calls, text or malformed), whether it is
# worth 1 or 0, for which reason, and which tokens are chain of thought, whose entropy EGPO counts. Nothing is trained,
# and a CPU is enough.
#
# ## A row
#
# Two functions, and a request that one of them answers.

# %%
import json


def function(name, required=(), **parameters):
    """Schema of a function, from the types of its parameters."""
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


tools = json.dumps(
    [
        function("convert_currency", ["amount", "base", "target"], amount="number", base="string", target="string"),
        function("get_weather", ["city"], city="string", days="integer"),
    ]
)
request = "What is 250 USD worth in EUR?"
reference = json.dumps([{"name": "convert_currency", "arguments": {"amount": 250, "base": "USD", "target": "EUR"}}])

# %% [markdown]
# ## The instrument
#
# `ToolCallReward.judge` gives the verdict, `ThinkTags.cot_mask` the spans. The tokenizer is that of the embedded policy;
# with one of yours, `AutoTokenizer.from_pretrained(…)`, the spans are those of your model.

# %%
from html import escape

import torch
from IPython.display import HTML, display
from transformers import AutoTokenizer

from egpo_trl import ToolCallReward
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.rollouts.think_spans import ThinkTags

tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
tags = ThinkTags(tokenizer)


def spans(completion, prompt=""):
    """Text of each token, and whether it is chain of thought."""
    ids = torch.tensor([tokenizer(completion, add_special_tokens=False)["input_ids"]])
    before = torch.tensor([tokenizer(prompt or "?", add_special_tokens=False)["input_ids"]])
    mask = tags.cot_mask(before, torch.ones_like(before), ids, torch.ones_like(ids))[0].tolist()
    return [(tokenizer.decode([token]), in_cot) for token, in_cot in zip(ids[0].tolist(), mask, strict=True)]


def look(completion, reference=reference, prompt="", **options):
    """Show the verdict on a completion; tokens of the chain of thought are shaded."""
    verdict = ToolCallReward(**options).judge(completion, reference, tools, prompt)
    shade = "background: #f5d9a0; color: #1b1f24"
    shaded = "".join(
        f'<span style="{shade}">{escape(text)}</span>' if in_cot else escape(text)
        for text, in_cot in spans(completion, prompt)
    )
    colour = "#0072b2" if verdict.score else "#d55e00"
    block = f"white-space: pre-wrap; border-left: 4px solid {colour}; padding: 6px 10px; margin: 4px 0"
    facts = f"state: {verdict.state} · reward: {verdict.score} · reason: {verdict.reason}"
    found = [f"{call.name}({json.dumps(call.arguments)})" for call in verdict.calls]
    lines = [f'<pre style="{block}">{shaded}</pre><b>{escape(facts)}</b>', *map(escape, found)]
    display(HTML(f'<div style="margin-bottom: 14px">{"<br>".join(lines)}</div>'))


right = """<think>call convert_currency: amount=250 base=USD target=EUR</think>
<tool_call>{"name": "convert_currency", "arguments": {"amount": 250, "base": "USD", "target": "EUR"}}</tool_call>"""
look(right)

# %% [markdown]
# ## Yours
#
# Type into the field; the verdict follows.

# %%
import ipywidgets as widgets

wrong_way = """<think>the user has USD</think>
<tool_call>{"name": "convert_currency", "arguments": {"amount": 250, "base": "EUR", "target": "USD"}}</tool_call>"""
field = widgets.Textarea(wrong_way, layout=widgets.Layout(width="100%", height="110px"))
verdict = widgets.Output()


def judge(_=None):
    """Show the verdict on what the field holds."""
    verdict.clear_output(wait=True)
    with verdict:
        look(field.value)


field.observe(judge, names="value")
judge()
display(field, verdict)

# %% [markdown]
# Without a running kernel the field is not there; this was in it:

# %%
look(wrong_way)

# %% [markdown]
# ## What is worth nothing, and why

# %%
call = (
    '<tool_call>{"name": "convert_currency", "arguments": {"amount": 250, "base": "USD", "target": "EUR"}}</tool_call>'
)
thought = "<think>250 USD to EUR</think>"
for wrong in (
    call,  # no chain of thought
    f"<think>250 USD to EUR {call}",  # never closed
    f"{thought}<think>or not?</think>{call}",  # two blocks
    f"{thought}Here you are: {call}",  # text beside the call
    thought + call.replace("250", '"250"'),  # a string for a number
    thought + call.replace("convert_currency", "convert_money"),  # a function that nobody offers
    thought + call.replace("}}</", "}</"),  # broken JSON
    f"{thought}{call}\n{call}",  # once too often
    f"{thought}About 230 EUR.",  # an answer without a call
):
    look(wrong)

# %% [markdown]
# ## When the right answer is text
#
# The reference of such a row is empty. Text earns the reward; a call does not, and a broken call does not either: what
# is malformed never passes for text, or a model would learn to write debris.

# %%
look(f"{thought}None of my functions can do that.", reference="[]")
look(f"{thought}{call}", reference="[]")
look(f'{thought}<tool_call>{{"name": "convert_cur', reference="[]")

# %% [markdown]
# ## Other syntaxes, and a prompt that opens the block
#
# The paper's prompt asks for Python calls. Some chat templates (DeepSeek-R1, Qwen3 thinking models) end the prompt with
# `<think>`: the completion then starts inside the block. A mask that misses this sees no chain of thought at all, and
# EGPO silently becomes GRPO.

# %%
python_call = "[convert_currency(amount=250, base='USD', target='EUR')]"
look(f"{thought}{python_call}", syntax="pythonic")
look(f"250 USD to EUR</think>{call}", prompt=f"{request}<think>\n")
look(f"250 USD to EUR</think>{call}")  # the same words where the prompt does not open the block

# %% [markdown]
# ## BFCL's rules
#
# With `comparison="bfcl"` the reference lists acceptable values for each argument, and strings are compared without
# case and punctuation, as the official checker does.

# %%
acceptable = {"amount": [250, 250.0], "base": ["USD", "US dollar"], "target": ["EUR", "euro"]}
lists = json.dumps([{"name": "convert_currency", "arguments": acceptable}])
look(thought + call.replace("USD", "us-dollar"), reference=lists, comparison="bfcl")
look(thought + call.replace("USD", "us-dollar"))
