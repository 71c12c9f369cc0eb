"""Fuzzing the reward: mutated completions against an independent, slow oracle.

    python benchmarks/fuzz_reward.py --inputs 1000000

Right completions of rows with every type of argument are cut, spliced, and peppered with tags, quotes, brackets,
homoglyphs, numbers, and runs of one character. Each verdict must come without an exception and within 50 ms of CPU time,
and each 1.0 must be one for the oracle of reward_oracle.py too. A tenth of the zeros is put to it as well, where text may
not stand beside calls and the syntax is not the native one. Exits with 1 if anything is found.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

from reward_oracle import PARAMETERS, oracle

from egpo_trl import ToolCallReward

TOOLS = [{"name": name, "parameters": {"type": "object", "properties": PARAMETERS}} for name in ("f", "ns.h")]
REFERENCES: list[list[tuple[str, dict[str, Any]]]] = [
    [("f", {"a": 1})],
    [("f", {"b": 2.0, "c": "it's 5"}), ("ns.h", {})],
    [("ns.h", {"d": True, "e": [1, 2], "g": {"k": None, "l": [0.5]}})],
    [("f", {"a": -3}), ("f", {"a": 1}), ("f", {"c": "<tool_call>"})],
    [("f", {"c": 'é "x" \\ \n', "b": 1})],
    [],
]
PIECES = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", '"', "'", "\\", "{", "}", "[", "]", "(",
    ")", ",", ":", "=", " ", "\n", "\t", "\x00", "\x03", "\ud800", "\\ud800", "\\u0061", "é", "\u0430", "ｆ", "\u200b", "1",
    "0", "-", "+", ".", "e9", "1e999", "9" * 30, "NaN", "Infinity", "true", "True", "null", "None", "f", "ns.h", "a",
    '"a": 1, ', "a=1, ", "f(a=1)", '{"name": "f", "arguments": {"a": 1}}', "**{}", "*", "lambda: 1", "f''", "b''", "#", ";",
    "...", "1_0", "0x1", "1j", "// x", "/**/", "</", "<|im_end|>", "text ",
    "\n\n", "f:\n  a: 1\n", "tool: f\n", "a: 1\n", "```\n",
]  # fmt: skip
RUNS = [
    *" \n\t\r\u00a0\u200b\u0301[](){}<>\"'`\\|/-~$&#.x9",
    '\\"', "<think>", "<tool_call>", "f(", "f ", "a=1,", "[f(a=1),", "\\(", "- ",
    "f:\n", "a: 1\n", "\nf\n",
]  # fmt: skip
SYNTAXES = ("hermes", "json", "pythonic", "native")


# Inputs


def write(syntax: str, calls: list[tuple[str, dict[str, Any]]], rng: random.Random) -> str:
    head = rng.choice(["<think>so</think>\n", "<think>\nso it is\n</think>\n\n", "<think></think>"])
    end = rng.choice(["", "<|im_end|>", "<|im_end|>"]) if syntax == "native" else ""
    if not calls:
        return head + "No function fits this." + end
    calls = rng.sample(calls, len(calls))
    if syntax == "pythonic":
        written = ", ".join(
            f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" for name, arguments in calls
        )
        return head + rng.choice(["[{}]", "<answer>[{}]</answer>"]).replace("{}", written)
    key = rng.choice(["arguments", "parameters"]) if syntax == "json" else "arguments"
    objects = [
        json.dumps({"name": name, key: arguments}, ensure_ascii=rng.random() < 0.5) for name, arguments in calls
    ]
    if syntax == "json":
        return head + (f"[{', '.join(objects)}]" if len(objects) > 1 or rng.random() < 0.5 else objects[0])
    return head + "\n".join(f"<tool_call>\n{item}\n</tool_call>" for item in objects) + end


def mutate(text: str, other: str, rng: random.Random) -> str:
    """The completion with some changes, mostly behind the chain of thought."""
    head, closing, text = text.partition("</think>") if rng.random() < 0.8 else ("", "", text)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 5])):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        j = min(j, i + rng.choice([1, 1, 2, 5, 40]))
        kind = rng.randrange(8)
        if kind == 0:
            text = text[:i] + text[j:]
        elif kind == 1:
            text = text[:i] + rng.choice(PIECES) + text[i:]
        elif kind == 2:
            text = text[:i] + rng.choice(PIECES) + text[j:]
        elif kind == 3:
            text = text[:j] + text[i:]
        elif kind == 4:
            text = text[:i] + other[rng.randrange(len(other) + 1) :]
        elif kind == 5:
            text = text[:i] + text[i:j].swapcase() + text[j:]
        elif kind == 6:
            text = text[:i] + text[i:j] * rng.choice([2, 3, 70]) + text[j:]
        else:
            text = text[:i]
    if rng.random() < 0.01:
        i, run = rng.randrange(len(text) + 1), rng.choice(RUNS)
        text = text[:i] + run * (rng.choice([30, 300, 3000]) // len(run)) + text[i:]
    return head + closing + text


def make_rewards() -> dict[tuple[str, bool], ToolCallReward]:
    """A reward for each syntax, without and with text beside calls; the native one reads by Qwen3's response template."""
    from trl.chat_template_utils import qwen3_template

    tokenizer: Any = SimpleNamespace(
        response_template=qwen3_template, name_or_path="qwen3", eos_token_id=0,
        convert_ids_to_tokens=lambda ids: ["<|im_end|>" for _ in ids],
    )  # fmt: skip
    native = {"tokenizer": tokenizer, "generation_prompt": "<|im_start|>assistant\n"}
    return {
        (syntax, allow_text): ToolCallReward(
            syntax=syntax, allow_text=allow_text, **(native if syntax == "native" else {})
        )
        for syntax in SYNTAXES
        for allow_text in (False, True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tools = json.dumps(TOOLS)
    references = [json.dumps([{"name": n, "arguments": a} for n, a in reference]) for reference in REFERENCES]
    rewards = make_rewards()
    verdicts: Counter = Counter()
    found: Counter = Counter()
    slowest, checked, start = 0.0, 0, time.time()
    for number in range(options.inputs):
        syntax, allow_text = rng.choice(SYNTAXES), rng.random() < 0.3
        index = rng.randrange(len(REFERENCES))
        text = write(syntax, REFERENCES[index], rng)
        text = mutate(text, write(rng.choice(SYNTAXES), rng.choice(REFERENCES), rng), rng)
        reward = rewards[syntax, allow_text]
        try:
            began = time.process_time()
            verdict = reward.judge(text, references[index], tools)
            seconds = time.process_time() - began
        except Exception as error:
            found["exception"] += 1
            print(f"exception: {error!r} on {syntax} {text!r}")
            continue
        if seconds > 0.05:  # twice more, in case the machine was busy
            for _ in range(2):
                began = time.process_time()
                reward.judge(text, references[index], tools)
                seconds = min(seconds, time.process_time() - began)
            if seconds > 0.05:
                found["slow"] += 1
                print(f"slow: {1000 * seconds:.0f} ms on {syntax} {text[:200]!r}")
        slowest = max(slowest, seconds)
        verdicts[verdict.reason] += 1
        if verdict.score == 1.0 or (number % 10 == 0 and syntax != "native" and not allow_text):
            checked += 1
            right = oracle(text, syntax, REFERENCES[index], allow_text)
            if right is not None and right is not (verdict.score == 1.0):
                name = "false 1.0" if verdict.score else "false 0.0"
                found[name] += 1
                if found[name] <= 20:
                    print(f"{name}: {verdict.reason} on {syntax} {allow_text} {text!r}")
    print(f"{options.inputs} inputs, seed {options.seed}, {time.time() - start:.0f} s; {checked} put to the oracle")
    print(f"slowest verdict {1000 * slowest:.1f} ms; found: {dict(found) or 'nothing'}")
    print("verdicts: " + ", ".join(f"{reason} {count}" for reason, count in verdicts.most_common()))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
