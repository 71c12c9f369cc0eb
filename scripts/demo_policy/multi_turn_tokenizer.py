"""The tokenizer of the multi-turn world, with what TRL's tool loop needs to read calls."""

import random

from multi_turn_demonstrations import demonstrate
from tokenizer import train_tokenizer
from transformers import PreTrainedTokenizerFast

from egpo_trl.demo.multi_turn_world import NUMBERS, make_scenarios, schemas
from egpo_trl.demo.world import AMOUNTS
from egpo_trl.rollouts.response_templates import turn_template


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
    tokenizer.response_template = turn_template(tokenizer)
    return tokenizer
