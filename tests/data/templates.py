"""Chat templates that tests render with: all that TRL ships, and hand-written ones of families that it does not."""

import copy
import json

from transformers import PreTrainedTokenizerBase

from tests.conftest import package_dir, trl_template

NAMES = sorted(path.stem for path in (package_dir("trl") / "chat_templates").glob("*.jinja"))

# Ids of nine letters or digits, as Mistral's own templates demand.
_REFUSE = "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}"
MISTRAL = (
    """{{ bos_token }}{%- if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif -%}
{%- for m in messages -%}{%- if m.tool_calls -%}[TOOL_CALLS][{%- for c in m.tool_calls -%}
{%- if c.id is undefined or c.id | length != 9 -%}"""
    + _REFUSE
    + """{%- endif -%}{{ {"name": c.function.name, "arguments": c.function.arguments, "id": c.id} | tojson }}
{%- if not loop.last %}, {% endif -%}{%- endfor -%}]{{ eos_token }}
{%- elif m.role == 'tool' -%}{%- if m.tool_call_id is undefined or m.tool_call_id | length != 9 -%}"""
    + _REFUSE
    + """{%- endif -%}[TOOL_RESULTS]{{ {"content": m.content, "call_id": m.tool_call_id} | tojson }}[/TOOL_RESULTS]
{%- elif m.role == 'assistant' -%}{{ m.content }}{{ eos_token }}{%- else -%}[INST]{{ m.content }}[/INST]
{%- endif -%}{%- endfor -%}"""
)

# Only the id says which function was called, as in Kimi K2's.
KIMI = """{%- if tools -%}<|im_system|>{{ tools | tojson }}<|im_end|>{%- endif -%}
{%- for m in messages -%}<|im_{{ m.role }}|>{%- if m.role == 'tool' -%}## Return of {{ m.tool_call_id }}
{% endif -%}{{ m.content or '' }}
{%- if m.tool_calls -%}<|tool_calls_section_begin|>{%- for c in m.tool_calls -%}<|tool_call_begin|>{{ c.id }}<|tool_call_argument_begin|>
{{- c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}<|tool_call_end|>{%- endfor -%}
<|tool_calls_section_end|>{%- endif -%}<|im_end|>{%- endfor -%}{%- if add_generation_prompt -%}<|im_assistant|>{%- endif -%}"""

# Joins arguments to a text: an object would come out as Python writes it.
JOINED = """{%- if tools -%}{{ tools | tojson }}{%- endif -%}{%- for m in messages -%}<{{ m.role }}>{{ m.content }}
{%- for c in m.tool_calls or [] -%}{{ '<call>' ~ c.function.name ~ ' ' ~ c.function.arguments ~ '</call>' }}{%- endfor -%}
{%- endfor -%}"""

HAND_WRITTEN = {"mistral": MISTRAL, "kimi": KIMI, "joined": JOINED}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Name of the city."}},
                "required": ["city"],
            },
        },
    }
]


def call(city: str, name: str = "call_0", as_text: bool = True) -> dict:
    arguments = {"city": city}
    function = {"name": "get_weather", "arguments": json.dumps(arguments) if as_text else arguments}
    return {"id": name, "type": "function", "function": function}


USER = {"role": "user", "content": "Weather?"}
RESULT = {"role": "tool", "tool_call_id": "call_0", "name": "get_weather", "content": "minus 17.25"}

# Prompts by what is in them. Add a line for another.
HISTORIES: dict[str, list[dict]] = {
    "user": [USER],
    "system": [{"role": "system", "content": "Be brief."}, USER],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}],
    "call": [USER, {"role": "assistant", "content": "", "tool_calls": [call("Oslo")]}, RESULT],
    "arguments as an object": [USER, {"role": "assistant", "content": "", "tool_calls": [call("Oslo", as_text=False)]}, RESULT],
    "content null": [USER, {"role": "assistant", "content": None, "tool_calls": [call("Oslo")]}, RESULT],
    "no content": [USER, {"role": "assistant", "tool_calls": [call("Oslo")]}, RESULT],
    "no ids": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [{"function": call("Oslo")["function"]}]},
        {"role": "tool", "content": "minus 17.25"},
    ],
    "padded by Arrow": [
        {**USER, "tool_calls": None, "tool_call_id": None, "name": None},
        {"role": "assistant", "content": "", "tool_calls": [call("Oslo")], "tool_call_id": None, "name": None},
        {**RESULT, "tool_calls": None},
    ],
    "two calls": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [call("Oslo"), call("Rome", "call_1")]},
        RESULT,
        {**RESULT, "tool_call_id": "call_1", "content": "plus 17.25"},
    ],
    "text beside a call": [USER, {"role": "assistant", "content": "Let me look.", "tool_calls": [call("Oslo")]}, RESULT],
    "after an answer": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [call("Oslo")]},
        RESULT,
        {"role": "assistant", "content": "<think>\nCold.\n</think>\n\nIt is cold."},
        {"role": "user", "content": "And tomorrow?"},
    ],
}  # fmt: skip


def with_template(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    """A copy of a tokenizer with another chat template."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.bos_token = tokenizer.bos_token or tokenizer.eos_token
    tokenizer.chat_template = HAND_WRITTEN[name] if name in HAND_WRITTEN else trl_template(name)
    return tokenizer


def row_of(history: str, reference: str = '[{"name": "get_weather", "arguments": {"city": "Rome"}}]') -> dict:
    return {"id": "w1", "prompt": HISTORIES[history], "tools": json.dumps(TOOLS), "reference": reference}
