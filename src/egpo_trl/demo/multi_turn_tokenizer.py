"""The tokenizer of the multi-turn world, with what TRL's tool loop needs to read calls."""

import random

from transformers import PreTrainedTokenizerFast

from .multi_turn_demonstrations import demonstrate
from .multi_turn_world import NUMBERS, make_scenarios, schemas
from .tokenizer import train_tokenizer
from .world import AMOUNTS

# The grammar of a turn, as transformers' parser takes it: reasoning, then calls or text.
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close_pattern": r"</think>\s*", "content": "text"},
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}


def build_multi_turn_tokenizer() -> PreTrainedTokenizerFast:
    """
    Build the tokenizer from the texts of the multi-turn world.

    Returns:
        [`~transformers.PreTrainedTokenizerFast`]:
            Tokenizer with the chat template of [`~egpo_trl.demo.tokenizer.build_tokenizer`] and a response template.
    """
    rng = random.Random(0)
    texts = [" ".join(map(str, (*NUMBERS, *AMOUNTS)))] * 4
    scenarios = make_scenarios(4000, seed=0, split="train")
    for scenario in scenarios:
        turns = demonstrate(rng, scenario)
        texts.append("\n".join([*scenario.turns, *(f"{turn.text}\n{turn.result}" for turn in turns)]))
    signatures = []
    for environment in sorted({scenario.environment for scenario in scenarios}):
        for name, schema in schemas(environment).items():
            for parameter, kind in schema["function"]["parameters"]["properties"].items():
                signatures.append(f"{name}({parameter}?: {kind['type']}, {parameter}: low|normal|high)")
    tokenizer = train_tokenizer(texts, "\n".join(signatures))
    tokenizer.response_template = RESPONSE_TEMPLATE
    return tokenizer
