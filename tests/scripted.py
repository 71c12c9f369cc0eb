"""Policies that say what a script tells them, on TRL's real generation and tool loop."""

import copy
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig

from egpo_trl import EGPOConfig, EGPOTrainer
from tests.conftest import trl_template
from tests.tiny import checksum_reward, config, tiny_model


class Turn(NamedTuple):
    """One assistant turn. Without an end it goes on, in filler words, until the length limit."""

    thought: str | None
    answer: str = ""
    ends: bool = True


class Dialect(NamedTuple):
    """A tokenizer with its chat template, and what the template writes around tool results and thoughts."""

    tokenizer: PreTrainedTokenizerBase
    before_result: str
    after_result: str
    between_results: str
    generation_prompt: str
    prefills: bool = False
    xml_calls: bool = False

    def text(self, turn: Turn) -> str:
        """What the policy writes in a turn, without the end of the turn."""
        if turn.thought is None:  # a block that is open must be closed
            return f"</think>{turn.answer}" if self.prefills else turn.answer
        start = "" if self.prefills else "<think>"
        return f"{start}{turn.thought}</think>{turn.answer}" if turn.answer or turn.ends else f"{start}{turn.thought}"

    def call(self, name: str, /, **arguments: Any) -> str:
        if not self.xml_calls:
            return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
        lines = [f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items()]
        return f"<tool_call>\n<function={name}>\n{''.join(lines)}</function>\n</tool_call>"

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def turn_ids(self, turn: Turn) -> list[int]:
        return self.encode(self.text(turn)) + ([self.tokenizer.eos_token_id] if turn.ends else [])

    def thought_mask(self, turn: Turn) -> list[int]:
        """1 at the tokens that lie within the thought, by the characters they cover."""
        text = self.text(turn)
        begin = text.index(turn.thought) if turn.thought else 0
        end = begin + len(turn.thought or "")
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        mask = [int(begin <= a < b <= end) for a, b in encoding["offset_mapping"]]
        return mask + ([0] if turn.ends else [])

    def result_ids(self, *results: str) -> list[int]:
        """What stands between two turns."""
        inner = self.between_results.join(results)
        return self.encode(f"{self.before_result}{inner}{self.after_result}{self.generation_prompt}")


_CHATML_BEFORE, _CHATML_AFTER = "\n<|im_start|>user\n<tool_response>\n", "\n</tool_response><|im_end|>\n"
_ASSISTANT = "<|im_start|>assistant\n"


def embedded(tokenizer: PreTrainedTokenizerBase, prefills: bool = False) -> Dialect:
    """The embedded world's template, as it is or with the think block opened in every turn."""
    tokenizer = copy.deepcopy(tokenizer)
    prompt = _ASSISTANT
    if prefills:
        tokenizer.chat_template += "{%- if add_generation_prompt %}{{ '<think>\n' }}{% endif -%}"
        prompt += "<think>\n"
    between = "\n</tool_response><|im_end|>\n<|im_start|>user\n<tool_response>\n"
    return Dialect(tokenizer, _CHATML_BEFORE, _CHATML_AFTER, between, prompt, prefills)


def chatml(tokenizer: PreTrainedTokenizerBase, template: str) -> Dialect:
    """A tokenizer with the template of Qwen3 (no prefilled think block) or of Qwen3.5 (prefilled, calls in XML)."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = trl_template(template)
    prefills = template.endswith("_think")
    prompt = _ASSISTANT + ("<think>\n" if prefills else "")
    between = "\n</tool_response>\n<tool_response>\n"
    return Dialect(tokenizer, _CHATML_BEFORE, _CHATML_AFTER, between, prompt, prefills, prefills)


_DEEPSEEK = """\
{%- if tools %}{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
<｜Assistant｜>{{ message.content or '' }}
{%- for call in message.tool_calls or [] -%}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
<｜end▁of▁sentence｜>
{%- elif message.role == 'tool' -%}
<tool_response>{{ message.content }}</tool_response>
{%- else -%}
<｜User｜>{{ message.content }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<｜Assistant｜><think>{{ '\n' }}{%- endif -%}
"""


def deepseek(tokenizer: PreTrainedTokenizerBase) -> Dialect:
    """A template that TRL does not know: Hermes calls, and a think block that is opened in every turn."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = _DEEPSEEK
    before, after, between = "<tool_response>", "</tool_response>", "</tool_response><tool_response>"
    return Dialect(tokenizer, before, after, between, "<｜Assistant｜><think>\n", prefills=True)


class ScriptedGeneration:
    """
    `generate` of a model, from scripts: one list of turns a rollout, in the order of the batch.

    Rollouts are told apart by what they have said so far, so that those which leave the loop leave the script too.
    """

    def __init__(self, dialect: Dialect, scripts: Sequence[Sequence[Turn]]) -> None:
        self.dialect = dialect
        self.scripts = scripts
        self.histories: list[list[int]] = []
        self.inputs: list[list[list[int]]] = []  # of every call

    def __call__(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, generation_config: Any = None, **_: Any
    ) -> Any:
        rows = [ids[mask.bool()].tolist() for ids, mask in zip(input_ids, attention_mask, strict=True)]
        self.inputs.append(rows)
        rollouts = self._rollouts(rows)
        if rollouts is None:
            rollouts, self.said = list(range(len(rows))), [0] * len(rows)
            self.histories = [[] for _ in rows]
        filler = self.dialect.encode(" and")[-1]
        outputs = []
        for rollout, row in zip(rollouts, rows, strict=True):
            script = self.scripts[rollout % len(self.scripts)]
            turn = script[self.said[rollout]]
            ids = self.dialect.turn_ids(turn)
            if not turn.ends:
                ids += [filler] * (generation_config.max_new_tokens - len(ids))
            self.said[rollout] += 1
            self.histories[rollout] = row + ids
            outputs.append(torch.tensor(ids))
        pad = self.dialect.tokenizer.pad_token_id
        padded = torch.nn.utils.rnn.pad_sequence(outputs, batch_first=True, padding_value=pad)
        return torch.cat([input_ids, padded.to(input_ids.device)], dim=1)

    def _rollouts(self, rows: list[list[int]]) -> list[int] | None:
        """Which rollouts go on, or `None` at the start of a batch."""
        found: list[int] = []
        for row in rows:
            after = found[-1] + 1 if found else 0
            going_on = (
                i for i in range(after, len(self.histories)) if row[: len(self.histories[i])] == self.histories[i]
            )
            rollout = next(going_on, None)
            if rollout is None:
                return None
            found.append(rollout)
        return found


class Recorder(EGPOTrainer):
    """Keeps what went into the shaping of advantages and what came out, one record a micro-batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.records: list[dict[str, Any]] = []
        self.messages: list[Any] = []  # completions of every generation batch
        super().__init__(*args, **kwargs)

    def _generate(self, prompts: list[Any]) -> Any:
        output = super()._generate(prompts)
        self.messages.append(output[3])
        return output

    def _shape(self, inputs: Any, entropies: Any, logps: Any) -> None:
        record = {name: value.clone() for name, value in inputs.items() if isinstance(value, torch.Tensor)}
        super()._shape(inputs, entropies, logps)
        self.records.append({**record, "entropies": entropies.clone(), "shaped": inputs["advantages"].clone()})


def scripted_trainer(
    folder: Any,
    dialect: Dialect,
    scripts: Sequence[Sequence[Turn]],
    cls: type = Recorder,
    model: Any = None,
    rows: list[dict[str, Any]] | None = None,
    reward: Any = checksum_reward,
    **kwargs: Any,
) -> Any:
    """A trainer whose rollouts follow the scripts, four to a prompt; not trained yet."""
    names = ("tools", "environment_factory", "eval_dataset")
    given = {name: kwargs.pop(name) for name in names if name in kwargs}
    model = tiny_model(dialect.tokenizer) if model is None else model
    model.generate = ScriptedGeneration(dialect, scripts)
    rows = rows or [{"prompt": [{"role": "user", "content": f"Question {i}"}]} for i in range(len(scripts) // 4)]
    settings = {"per_device_train_batch_size": len(scripts), "max_steps": 1, "shuffle_dataset": False, **kwargs}
    return cls(
        model=model,
        reward_funcs=reward,
        args=config(folder, EGPOConfig if issubclass(cls, EGPOTrainer) else GRPOConfig, **settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=dialect.tokenizer,
        **given,
    )
