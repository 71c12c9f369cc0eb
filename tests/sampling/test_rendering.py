"""The prompt of an evaluation is the prompt of training, token for token: tools, calls in the history, both styles."""

import json

import pytest

from egpo_trl.data.prompts import to_messages
from egpo_trl.sampling.rendering import PromptRenderer
from egpo_trl.sampling.sampler import PromptFormat
from tests.tiny import checksum_reward, config, tiny_model

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
    kwargs = {"enable_thinking": False} if style == "native" else {}
    options = {"chat_template_kwargs": kwargs, "render_tools": style == "native", "egpo_lambda": 0.0}
    rows = [{**row, "prompt": to_messages(row, style)} for row in ROWS]  # as egpo-trl train prepares them
    trainer = EGPOTrainer(
        model=tiny_model(tokenizer),
        reward_funcs=checksum_reward,
        args=config(tmp_path, **options),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    rendered = []
    tokenize = trainer._tokenize_prompts

    def spy(prompts):
        output = tokenize(prompts)
        rendered.extend(output[0])
        raise InterruptedError  # the prompts are what matters here

    trainer._tokenize_prompts = spy
    batch = [trainer.train_dataset[index] for index in range(len(ROWS))]
    with pytest.raises(InterruptedError):
        trainer._generate_and_score_completions(batch)
    renderer = PromptRenderer(PromptFormat(style, None, kwargs, tokenizer))
    assert [list(ids) for ids in rendered] == [renderer(row) for row in ROWS]
    texts = [tokenizer.decode(ids) for ids in rendered]
    assert all("Oslo" in text and "get_weather" in text for text in texts)


def test_a_rendered_string_stays_as_it_is(tiny_tokenizer):
    renderer = PromptRenderer(PromptFormat("paper", tokenizer=tiny_tokenizer))
    assert renderer({"prompt": "as is"}) == tiny_tokenizer.encode("as is")
    with pytest.raises(ValueError, match="cannot be rendered without a tokenizer"):
        PromptRenderer(PromptFormat())
