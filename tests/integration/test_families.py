"""Families through the trainer: syntax, think tags and end tokens are found, and what the model writes is paid."""

import copy
from typing import Any

import pytest
from tokenizers import AddedToken

from egpo_trl import ToolCallReward
from tests.conftest import trl_template
from tests.scripted import Dialect, Turn, scripted_trainer
from tests.tiny import tiny_model
from tests.tool_calls.families import FAMILIES
from tests.tool_calls.test_families import NONE, ONE, TOOLS

KIMI = """{%- if tools -%}{{ tools|tojson }}{%- endif -%}{%- for m in messages -%}<|im_{{ m.role }}|>{{ m.content or '' }}
{%- if m.tool_calls -%}<|tool_calls_section_begin|>{%- for c in m.tool_calls -%}<|tool_call_begin|>{{ c.id }}\
<|tool_call_argument_begin|>{{ c.function.arguments|tojson }}<|tool_call_end|>{%- endfor -%}<|tool_calls_section_end|>
{%- endif -%}<|im_end|>{%- endfor -%}{%- if add_generation_prompt -%}<|im_assistant|>{%- endif -%}"""
MISTRAL = """Draft in [THINK]…[/THINK].{%- if tools -%}[AVAILABLE_TOOLS]{{ tools|tojson }}[/AVAILABLE_TOOLS]{%- endif -%}{%- for m in messages -%}
{%- if m.tool_calls -%}{%- for c in m.tool_calls -%}{%- if c.id|length != 9 -%}{{ raise_exception('9 characters') }}
{%- endif -%}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments|tojson }}{%- endfor -%}</s>
{%- else -%}[{{ m.role }}]{{ m.content }}{%- endif -%}{%- endfor -%}"""
# family -> its chat template, and what the prompt already holds of its answer
TEMPLATES = {
    "qwen3": (trl_template("qwen3"), ""),
    "qwen3_coder": (trl_template("qwen3_5_think"), "<think>\n"),
    "glm_4_5": (trl_template("glm4moe"), ""),
    "gpt_oss": (trl_template("gptoss"), ""),
    "gemma_4": (trl_template("gemma4_v5"), ""),
    "deepseek_v3": (trl_template("deepseekv3"), "<think>\n"),
    "kimi_k2": (KIMI, ""),
    "mistral_v13": (MISTRAL, ""),
}


@pytest.mark.parametrize("single_tokens", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_family_is_paid_for_what_it_writes(tmp_path, tiny_tokenizer, name, single_tokens):
    family, (template, prefix) = FAMILIES[name], TEMPLATES[name]
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = template
    tokens = list(family.ends)
    if single_tokens:  # tags, or what they consist of, are special tokens
        tokens += [tag for tag in ("<|channel|>", "<|message|>", "<|start|>", "<|channel>", "<channel|>", *family.think_tags)
                   if any(tag in one for one in family.think_tags) and "\n" not in tag and "analysis" not in tag]  # fmt: skip
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in dict.fromkeys(tokens)])
    model = tiny_model(tokenizer)
    model.generation_config.eos_token_id = [
        tokenizer.eos_token_id,
        *tokenizer.convert_tokens_to_ids(list(family.ends)),
    ]
    dialect = Dialect(tokenizer, "", "", "", "")
    thought = family.thought.removeprefix(prefix)
    wrong = family.one.replace("Oslo", "Bergen")
    said = (
        [(family.one, end) for end in family.ends] + [(wrong, family.ends[0])] + [(family.spoken, family.ends[0])] * 4
    )
    said = said[:4] + [(family.text, family.ends[-1])] * 4
    scripts = [[Turn(None, thought + answer + end)] for answer, end in said]
    rows: list[dict[str, Any]] = [
        {"prompt": [{"role": "user", "content": "Weather?"}], "tools": TOOLS, "reference": reference}
        for reference in (ONE, NONE)
    ]
    trainer = scripted_trainer(
        tmp_path,
        dialect,
        scripts,
        rows=rows,
        reward=ToolCallReward(thinking="optional" if name == "kimi_k2" else None),  # its template speaks of no thought
        model=model,
        max_completion_length=400,
        render_tools=name != "deepseek_v3",  # its template writes calls and shows no functions
    )
    told: dict[str, list[Any]] = {}
    trainer._log_completion_extra = lambda column, values: told.update({column: list(values)})
    trainer.train()
    expected = {
        family.one: "correct",
        wrong: "wrong_value",
        family.spoken: "text_beside_calls",
        family.text: "correct",
    }
    assert told["reason"] == [expected[answer] for answer, _ in said]
    assert trainer.reward_funcs[0].syntax == family.syntax
    assert (
        trainer.reward_funcs[0].think_tags == family.think_tags == (trainer._think_tags.start, trainer._think_tags.end)
    )
    logs = {key: value for entry in trainer.state.log_history for key, value in entry.items()}
    assert logs["egpo/no_cot_ratio"] == 0.0
    assert logs["completions/clipped_ratio"] == 0.0
