"""What models of released families write: the table behind `test_families.py`. A line more is a family more.

Each entry is what the model generates after the prompt, its end token last, by the documents named above it. `one` is
one call of `get_weather(city="Oslo", days=2)`; `two` has a call of `now()` after it; `spoken` a call after a text; `text` no
call. `thought` is a chain of thought "Look it up." with what surrounds it, in front of any of them.
"""

from typing import NamedTuple


class Family(NamedTuple):
    """A family: the syntax that reads it, its end tokens, and what it writes."""

    syntax: str
    ends: tuple[str, ...]
    one: str
    two: str | None  # `None`: one call a turn
    spoken: str
    text: str = "It is cold."
    thought: str | None = None
    think_tags: tuple[str, str] = ("<think>", "</think>")


_ARGS = '{"city": "Oslo", "days": 2}'
_HERMES = f'<tool_call>\n{{"name": "get_weather", "arguments": {_ARGS}}}\n</tool_call>'
_XML = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
    "</function>\n</tool_call>"
)
_XML_NOW = "<tool_call>\n<function=now>\n</function>\n</tool_call>"
_GLM = (
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n"
    "<arg_value>2</arg_value>\n</tool_call>"
)
_KIMI = f"<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{_ARGS}<|tool_call_end|>"
_KIMI_NOW = "<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
_V3 = f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{_ARGS}\n```<｜tool▁call▁end｜>"
_V3_NOW = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
_V31 = f"<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{_ARGS}<｜tool▁call▁end｜>"
_V31_NOW = "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
_DS, _DS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_DSML = (
    '<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>\n'
    '<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n'
)
_M2 = '<invoke name="get_weather">\n<parameter name="city">Oslo</parameter>\n<parameter name="days">2</parameter>\n</invoke>\n'
_OBJECT = f'{{"name": "get_weather", "arguments": {_ARGS}}}'
_LLAMA = f'{{"name": "get_weather", "parameters": {_ARGS}}}'
_NOW = '{"name": "now", "arguments": {}}'
_COMMAND = f'{{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {_ARGS}}}'
_COMMAND_NOW = '{"tool_call_id": "1", "tool_name": "now", "parameters": {}}'
_HARMONY = f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{_ARGS}"
_HARMONY_TALK = "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
_GEMMA = '<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:2}<tool_call|>'
_THINK = "<think>\nLook it up.\n</think>\n\n"

FAMILIES = {
    # Qwen, "Function Calling" (qwen.readthedocs.io); model cards of Qwen2.5 and Qwen3; Nous Research, "Hermes-Function-Calling"
    "qwen3": Family(
        "hermes", ("<|im_end|>", "<|endoftext|>"), _HERMES,
        f'{_HERMES}\n<tool_call>\n{_NOW}\n</tool_call>', f"Let me look.\n{_HERMES}", thought=_THINK,
    ),
    # Qwen3-Coder's tool parser and the chat templates of Qwen3.5 and Nemotron 3
    "qwen3_coder": Family(
        "qwen_xml", ("<|im_end|>", "<|endoftext|>"), _XML, f"{_XML}\n{_XML_NOW}", f"Let me look.\n\n{_XML}", thought=_THINK
    ),
    # ByteDance Seed, model card of Seed-OSS
    "seed_oss": Family(
        "qwen_xml", ("<seed:eos>",), _XML.replace("tool_call>", "seed:tool_call>"), None,
        "Let me look.\n" + _XML.replace("tool_call>", "seed:tool_call>"),
        thought="<seed:think>\nLook it up.\n</seed:think>\n", think_tags=("<seed:think>", "</seed:think>"),
    ),
    # Z.ai, chat template and generation_config of GLM-4.5 (three end tokens; a call ends with <|observation|>)
    "glm_4_5": Family(
        "glm", ("<|observation|>", "<|user|>", "<|endoftext|>"), _GLM, f"{_GLM}\n<tool_call>now\n</tool_call>",
        f"Let me look.\n{_GLM}", thought="<think>Look it up.</think>\n",
    ),
    # Z.ai, chat template of GLM-4.7: the same without line breaks
    "glm_4_7": Family(
        "glm", ("<|observation|>", "<|user|>", "<|endoftext|>"), _GLM.replace("\n", ""),
        _GLM.replace("\n", "") + "<tool_call>now</tool_call>", "Let me look." + _GLM.replace("\n", ""),
        thought="<think>Look it up.</think>",
    ),
    # OpenAI, "OpenAI harmony response format" (a call ends with <|call|>, a text with <|return|>)
    "gpt_oss": Family(
        "harmony", ("<|call|>", "<|return|>"), _HARMONY, None, _HARMONY_TALK + _HARMONY,
        "<|channel|>final<|message|>It is cold.",
        "<|channel|>analysis<|message|>Look it up.<|end|><|start|>assistant",
        ("<|channel|>analysis<|message|>", "<|end|>"),
    ),
    # Moonshot AI, "tool_call_guidance.md" of Kimi-K2-Instruct and Kimi-K2-Thinking
    "kimi_k2": Family(
        "kimi", ("<|im_end|>",), f"<|tool_calls_section_begin|>{_KIMI}<|tool_calls_section_end|>",
        f"<|tool_calls_section_begin|>{_KIMI}{_KIMI_NOW}<|tool_calls_section_end|>",
        f"Let me look.<|tool_calls_section_begin|>{_KIMI}<|tool_calls_section_end|>", thought="<think>Look it up.</think>",
    ),
    # The same with the white space around tokens that Moonshot's and vLLM's parsers allow
    "kimi_k2_blanks": Family(
        "kimi", ("<|im_end|>",), "\n<|tool_calls_section_begin|>\n" + _KIMI.replace("<|", " <|") + "\n<|tool_calls_section_end|>\n",
        None, "Let me look.\n<|tool_calls_section_begin|> " + _KIMI.replace("|>", "|> ") + "\n<|tool_calls_section_end|>",
    ),
    # DeepSeek, chat templates of DeepSeek-V3 and DeepSeek-R1
    "deepseek_v3": Family(
        "deepseek", ("<｜end▁of▁sentence｜>",), f"{_DS}{_V3}{_DS_END}", f"{_DS}{_V3}\n{_V3_NOW}{_DS_END}",
        f"Let me look.{_DS}{_V3}{_DS_END}", thought=_THINK,
    ),
    # DeepSeek, model card of DeepSeek-V3.1, "ToolCall"
    "deepseek_v3_1": Family(
        "deepseek", ("<｜end▁of▁sentence｜>",), f"{_DS}{_V31}{_DS_END}", f"{_DS}{_V31}{_V31_NOW}{_DS_END}",
        f"Let me look.{_DS}{_V31}{_DS_END}", thought="<think>Look it up.</think>",
    ),
    # DeepSeek, "encoding_dsv32.py" of DeepSeek-V3.2
    "deepseek_v3_2": Family(
        "deepseek_dsml", ("<｜end▁of▁sentence｜>",), f"<｜DSML｜function_calls>\n{_DSML}</｜DSML｜function_calls>",
        f'<｜DSML｜function_calls>\n{_DSML}<｜DSML｜invoke name="now">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
        f"Let me look.\n\n<｜DSML｜function_calls>\n{_DSML}</｜DSML｜function_calls>", thought="<think>Look it up.</think>",
    ),
    # Mistral AI, mistral-common: tokenizers v3 and v7 (one list; ids in what a template writes, not in what models write)
    "mistral_v3": Family(
        "mistral", ("</s>",), f"[TOOL_CALLS] [{_OBJECT}]", f"[TOOL_CALLS] [{_OBJECT}, {_NOW}]",
        f"Let me look.[TOOL_CALLS][{_OBJECT}]",
    ),
    "mistral_v7": Family(
        "mistral", ("</s>",), f"[TOOL_CALLS][{_OBJECT[:-1]}, \"id\": \"Ab3dEf7h9\"}}]", f"[TOOL_CALLS][{_OBJECT}, {_NOW}]",
        f"Let me look.[TOOL_CALLS][{_OBJECT}]",
    ),
    # Mistral AI, mistral-common: tokenizers v11 (with the id) and v13 (Magistral, Devstral)
    "mistral_v11": Family(
        "mistral", ("</s>",), f"[TOOL_CALLS]get_weather[CALL_ID]Ab3dEf7h9[ARGS]{_ARGS}",
        f"[TOOL_CALLS]get_weather[CALL_ID]Ab3dEf7h9[ARGS]{_ARGS}[TOOL_CALLS]now[CALL_ID]Ab3dEf7h0[ARGS]{{}}",
        f"Let me look.[TOOL_CALLS]get_weather[ARGS]{_ARGS}",
    ),
    "mistral_v13": Family(
        "mistral", ("</s>",), f"[TOOL_CALLS]get_weather[ARGS]{_ARGS}",
        f"[TOOL_CALLS]get_weather[ARGS]{_ARGS}[TOOL_CALLS]now[ARGS]{{}}", f"Let me look.[TOOL_CALLS]get_weather[ARGS]{_ARGS}",
        thought="[THINK]Look it up.[/THINK]", think_tags=("[THINK]", "[/THINK]"),
    ),
    # MiniMax, "function_call_guide.md" of MiniMax-M1
    "minimax_m1": Family(
        "minimax_m1", ("<end_of_sentence>",), f"<tool_calls>\n{_OBJECT}\n</tool_calls>",
        f"<tool_calls>\n{_OBJECT}\n{_NOW}\n</tool_calls>", f"Let me look.\n<tool_calls>\n{_OBJECT}\n</tool_calls>",
        thought=_THINK,
    ),
    # Tencent, model card of Hunyuan-A13B: the answer is in tags, a call in it is one list
    "hunyuan": Family(
        "minimax_m1", (), f"<answer>\n<tool_calls>[{_OBJECT}]</tool_calls>\n</answer>",
        f"<answer>\n<tool_calls>[{_OBJECT}, {_NOW}]</tool_calls>\n</answer>",
        f"<answer>\nLet me look.\n<tool_calls>[{_OBJECT}]</tool_calls>\n</answer>", "<answer>\nIt is cold.\n</answer>", _THINK,
    ),
    # MiniMax, "tool_calling_guide.md" of MiniMax-M2
    "minimax_m2": Family(
        "minimax_m2", ("[e~[",), f"<minimax:tool_call>\n{_M2}</minimax:tool_call>",
        f'<minimax:tool_call>\n{_M2}<invoke name="now">\n</invoke>\n</minimax:tool_call>',
        f"Let me look.\n<minimax:tool_call>\n{_M2}</minimax:tool_call>", thought=_THINK,
    ),
    # Meta, "Llama 3.1: model cards and prompt formats" (JSON; <|eom_id|> after built-in tools)
    "llama_3_1": Family("json", ("<|eot_id|>", "<|eom_id|>"), _LLAMA, f'{_LLAMA}; {{"name": "now", "parameters": {{}}}}',
        f"Let me look. {_LLAMA}"),
    "llama_3_1_python_tag": Family(
        "json", ("<|eom_id|>", "<|eot_id|>"), f"<|python_tag|>{_LLAMA}", None, f"Let me look.<|python_tag|>{_LLAMA}"
    ),
    # Meta, "llama3_1/prompt_format.md", "JSON based tool calling": the object repeats the type of the function
    "llama_3_1_type": Family(
        "json", ("<|eom_id|>", "<|eot_id|>"), '<|python_tag|>{\n    "type": "function",' + _LLAMA[1:], None,
        'Let me look. {"type": "function", ' + _LLAMA[1:],
    ),
    "llama_3_1_builtin": Family(
        "json", ("<|eom_id|>", "<|eot_id|>"), '<|python_tag|>get_weather.call(city="Oslo", days=2)', None,
        'Let me look.<|python_tag|>get_weather.call(city="Oslo", days=2)',
    ),
    # Meta, "Llama 3.2" and "Llama 4: model cards and prompt formats"
    "llama_4": Family(
        "pythonic", ("<|eot|>", "<|eom|>"), "<|python_start|>[get_weather(city='Oslo', days=2)]<|python_end|>",
        "[get_weather(city='Oslo', days=2), now()]", "Let me look. [get_weather(city='Oslo', days=2)]",
    ),
    # Meta, chat template of Llama-4-Scout-17B-16E-Instruct
    "llama_4_json": Family(
        "json", ("<|eot|>", "<|eom|>"), f"<|python_start|><|python_end|>{_LLAMA}", None,
        f"<|python_start|>Let me look. <|python_end|>{_LLAMA}",
    ),
    # Liquid AI, "Tool Use" (docs.liquid.ai)
    "lfm2": Family(
        "pythonic", ("<|im_end|>",), '<|tool_call_start|>[get_weather(city="Oslo", days=2)]<|tool_call_end|>',
        '<|tool_call_start|>[get_weather(city="Oslo", days=2), now()]<|tool_call_end|>',
        "Let me look. [get_weather(city='Oslo', days=2)]", thought=_THINK,
    ),
    # Google, "Function calling with Gemma 4" (a turn with calls may end with <|tool_response>) and "FunctionGemma"
    "gemma_4": Family(
        "gemma", ("<turn|>", "<|tool_response>", "<eos>"), _GEMMA, f"{_GEMMA}<|tool_call>call:now{{}}<tool_call|>",
        f"Let me look.{_GEMMA}", thought="<|channel>thought\nLook it up.\n<channel|>",
        think_tags=("<|channel>thought\n", "<channel|>"),
    ),
    "function_gemma": Family(
        "gemma", ("<end_of_turn>", "<eos>"),
        "<start_function_call>call:get_weather{city:<escape>Oslo<escape>,days:2}<end_function_call>", None,
        "Let me look.<start_function_call>call:get_weather{city:<escape>Oslo<escape>,days:2}<end_function_call>",
    ),
    # Microsoft, model card of Phi-4-mini-instruct, and PhiCookBook, "Function calling in Phi-4-mini"
    "phi_4_mini": Family(
        "phi4", ("<|end|>",), f"functools[{_OBJECT}]", f"functools[{_OBJECT}, {_NOW}]", f"Let me look. functools[{_OBJECT}]"
    ),
    "phi_4_mini_tags": Family(
        "phi4", ("<|end|>",), f"<|tool_call|>[{_OBJECT}]<|/tool_call|>", f"<|tool_call|>[{_OBJECT}, {_NOW}]<|/tool_call|>",
        f"Let me look.<|tool_call|>[{_OBJECT}]<|/tool_call|>",
    ),
    # IBM, "Granite 3.3: function calling" (ibm.com/granite/docs); model card of granite-20b-functioncalling
    "granite_3": Family(
        "granite", ("<|end_of_text|>",), f"<|tool_call|>[{_OBJECT}]", f"<|tool_call|>[{_OBJECT}, {_NOW}]",
        f"Let me look.<|tool_call|>[{_OBJECT}]",
    ),
    "granite_20b": Family(
        "granite", ("<|endoftext|>",), f"<function_call> {_OBJECT}", f"<function_call> {_OBJECT} <function_call> {_NOW}",
        f"Let me look. <function_call> {_OBJECT}",
    ),
    # Cohere, "Tool use" and "Command R7B: prompt format" (docs.cohere.com)
    "command_r7b": Family(
        "cohere", ("<|END_OF_TURN_TOKEN|>",), f"<|START_ACTION|>[\n    {_COMMAND}\n]<|END_ACTION|>",
        f"<|START_ACTION|>[\n    {_COMMAND},\n    {_COMMAND_NOW}\n]<|END_ACTION|>",
        f"Let me look.<|START_ACTION|>[{_COMMAND}]<|END_ACTION|>", "<|START_RESPONSE|>It is cold.<|END_RESPONSE|>",
        "<|START_THINKING|>Look it up.<|END_THINKING|>", ("<|START_THINKING|>", "<|END_THINKING|>"),
    ),
    # Cohere, "Prompting Command R": no token of its own
    "command_r": Family(
        "cohere", ("<|END_OF_TURN_TOKEN|>",),
        f'Action: ```json\n[\n    {{"tool_name": "get_weather", "parameters": {_ARGS}}}\n]\n```', None,
        f'Let me look.\nAction: ```json\n[{{"tool_name": "get_weather", "parameters": {_ARGS}}}]\n```',
    ),
    # Shanghai AI Laboratory, "chat_format.md" of InternLM
    "internlm": Family(
        "internlm", ("<|im_end|>",), f"<|action_start|><|plugin|>\n{_LLAMA}<|action_end|>", None,
        f"Let me look.<|action_start|><|plugin|>\n{_LLAMA}<|action_end|>",
    ),
    # NVIDIA, chat templates of Nemotron Nano v2 and Llama-3.3-Nemotron-Super-49B-v1.5
    "nemotron_nano_v2": Family(
        "nemotron", ("<SPECIAL_12>", "<|eot_id|>"), f"<TOOLCALL>[{_OBJECT}]</TOOLCALL>", f"<TOOLCALL>[{_OBJECT}, {_NOW}]</TOOLCALL>",
        f"Let me look.\n<TOOLCALL>[{_OBJECT}]</TOOLCALL>", thought=_THINK,
    ),
    # Salesforce, model cards of xLAM and, with one object around the calls, of xLAM-7b-fc-r
    "xlam_1": Family(
        "json", (), f'{{"tool_calls": [{_OBJECT}]}}', f'{{"tool_calls": [{_OBJECT}, {_NOW}]}}',
        f'Let me look. {{"tool_calls": [{_OBJECT}]}}',
    ),
    "xlam": Family("json", ("<|im_end|>",), f"[{_OBJECT}]", f"[{_OBJECT}, {_NOW}]", f"Let me look. [{_OBJECT}]"),
}  # fmt: skip
