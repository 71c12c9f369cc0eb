"""The prompt of an evaluation is the prompt of training, token for token: tools, calls in the history, both styles."""

import json

import pytest

from egpo_trl.evaluation.rendering import PromptRenderer
from egpo_trl.evaluation.sampler import PromptFormat
from egpo_trl.prompts import to_messages
from tests.tiny import train

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get it.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"id": "call_0", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
ROWS = [
    {
        "prompt": [
            {"role": "system", "content": "Be brief.", "tool_calls": None, "tool_call_id": None},
            {"role": "user", "content": f"Weather {place}?", "tool_calls": None, "tool_call_id": None},
            {"role": "assistant", "content": "", "tool_calls": [CALL], "tool_call_id": None},
            {"role": "tool", "content": '{"degrees": 3}', "tool_calls": None, "tool_call_id": "call_0"},
            {"role": "user", "content": "And tomorrow?", "tool_calls": None, "tool_call_id": None},
        ],
        "tools": json.dumps([TOOL] if place != "nowhere" else []),
        "reference": "[]",
    }
    for place in ("here", "there", "nowhere", "in Rome")
]


@pytest.mark.parametrize("style", ["native", "paper"])
@pytest.mark.parametrize("name", ["tiny_tokenizer", "qwen3_tokenizer"])
def test_equal_to_the_trainers(tmp_path, request, name, style):
    from datasets import Dataset

    from egpo_trl import EGPOTrainer

    tokenizer = request.getfixturevalue(name)
    rendered = {}

    class Spy(EGPOTrainer):
        def _tokenize_prompts(self, prompts):
            output = super()._tokenize_prompts(prompts)
            rendered.update({str(p[1]["content"]): list(ids) for p, ids in zip(prompts, output[0], strict=True)})
            return output

    rows = [{**row, "prompt": to_messages(row, style)} for row in ROWS]  # as egpo-trl train prepares them
    options = {"render_tools": style == "native", "chat_template_kwargs": {"enable_thinking": False}}
    if style == "paper":
        options["think_tags"] = ["<think>", "</think>"]
    train(tmp_path, tokenizer, Spy, dataset=Dataset.from_list(rows), max_steps=2, **options)
    assert rendered
    prompts = PromptFormat(style, None, {"enable_thinking": False}, tokenizer)
    renderer = PromptRenderer(prompts)
    ours = {str(to_messages(row, style)[1]["content"]): renderer(row) for row in ROWS}
    assert {key: ours[key] for key in rendered} == rendered
    texts = [tokenizer.decode(ids) for ids in ours.values()]
    assert all("Oslo" in text and "get_weather" in text for text in texts[:2])


def test_a_rendered_string_stays_as_it_is(tiny_tokenizer):
    renderer = PromptRenderer(PromptFormat("paper", tokenizer=tiny_tokenizer))
    assert renderer({"prompt": "as is"}) == tiny_tokenizer.encode("as is")
    with pytest.raises(ValueError, match="there is none"):
        PromptRenderer(PromptFormat())
