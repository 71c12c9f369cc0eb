"""The tiny policy's tokenizer: a byte-level BPE in which every word of the tool world is one token."""

import json
import random

from demonstrations import demonstrate
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from egpo_trl.demo.world import TOOLS, make_queries

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAG_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

# Words, numbers, single white space and runs of punctuation, so that a value is the same token in a query and in JSON.
_PIECES = r"[A-Za-z_]+|\d+|\s|[^\sA-Za-z_\d]+"

# Laid out like Qwen3's template, with functions as signatures instead of JSON schemas to keep prompts short.
CHAT_TEMPLATE = """\
{%- macro signature(function) -%}
{%- set parameters = function.parameters or {} -%}
{%- set required = parameters.required or [] -%}
{{ function.name }}(
{%- for name, schema in (parameters.properties or {}).items() -%}
{{ name }}{{ '' if name in required else '?' }}: {{ schema.enum | join('|') if schema.enum else \
schema.type }}{{ '' if loop.last else ', ' }}
{%- endfor -%}
)
{%- endmacro -%}
{%- if tools or (messages and messages[0].role == 'system') -%}
<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}
{% endif -%}
{%- for tool in tools or [] %}{{ signature(tool.function if tool.function is defined else tool) }}
{% endfor -%}
<|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role == 'assistant' -%}
<|im_start|>assistant
{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>

{% endif -%}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function if call.function is defined else call -%}
{{ '\\n' if message.content or not loop.first else '' }}<tool_call>
{"name":"{{ call.name }}","arguments":{{ call.arguments if call.arguments is string else \
call.arguments | tojson(separators=(',', ':')) }}}
</tool_call>
{%- endfor -%}
<|im_end|>
{% elif message.role != 'system' -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif -%}
{%- endif -%}
"""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """
    Build the tokenizer from the texts of the tool world.

    Returns:
        [`~transformers.PreTrainedTokenizerFast`]:
            Tokenizer with single-token think and tool-call tags, the chat template, and bytes for any other text.
    """
    rng = random.Random(0)
    texts = [
        f"{query.text}\n{demonstrate(rng, query)}\n{query.tools[0].schema()['function']['description']}"
        for query in make_queries(4000, seed=0, split="train")
    ]
    signatures = "\n".join(
        f"{tool.name}({name}?: {schema['type']}, {name}: celsius|fahrenheit)"
        for tool in TOOLS
        for name, schema in tool.parameters.items()
    )
    return train_tokenizer(texts, signatures)


def train_tokenizer(texts: list[str], signatures: str) -> PreTrainedTokenizerFast:
    """
    Train a tokenizer with the tags and the chat template of the tiny policies.

    Args:
        texts (`list[str]`):
            Texts of a world.
        signatures (`str`):
            Its functions, as the chat template writes them.

    Returns:
        [`~transformers.PreTrainedTokenizerFast`]:
            The tokenizer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        min_frequency=2,
        show_progress=False,
        special_tokens=[*SPECIAL_TOKENS, *TAG_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    for tag in (*SPECIAL_TOKENS, *TAG_TOKENS):
        texts = [text.replace(tag, "\n") for text in texts]
    roles = "system\nuser\nassistant\n"
    tokenizer.train_from_iterator([*texts, *[roles + signatures] * 4], trainer)
    state = json.loads(tokenizer.to_str())
    for token in state["added_tokens"]:  # as Qwen3's tags: kept when special tokens are skipped
        token["special"] = token["content"] not in TAG_TOKENS
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
