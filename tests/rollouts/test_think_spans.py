"""Chain-of-thought masks on real tokenizers; think tags are one token (Qwen3, DeepSeek) or several (SmolLM2)."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.rollouts.think_spans import ThinkTags, TokenClass, cot_mask_from_classes

TOKENIZERS = ["qwen3_tokenizer", "deepseek_tokenizer", "smollm2_tokenizer"]
TAGS = ["<think>", "</think>"]


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return request.getfixturevalue(request.param)


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def spans(tokenizer, rows: list[dict]) -> list[str]:
    """Text of the chain of thought of each row. A row has a `prompt`, and `parts`: (text, is it the policy's)."""
    prompts = [encode(tokenizer, row.get("prompt", "user: hi\nassistant:")) for row in rows]
    completions, masks = [], []
    for row in rows:
        ids, mask = [], []
        for text, is_policy in row["parts"]:
            new = encode(tokenizer, text)
            ids += new
            mask += [int(is_policy)] * len(new)
        if row.get("eos", True):
            ids, mask = [*ids, tokenizer.eos_token_id], [*mask, 1]
        completions.append(ids)
        masks.append(mask)
    width, length = max(map(len, prompts)), max(map(len, completions))
    pad = tokenizer.pad_token_id
    mask = ThinkTags(tokenizer, TAGS).cot_mask(
        torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts]),
        torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]),
        torch.tensor([ids + [pad] * (length - len(ids)) for ids in completions]),
        torch.tensor([m + [0] * (length - len(m)) for m in masks]),
    )
    assert mask.shape == (len(rows), length)
    assert mask.dtype == torch.bool
    return [
        tokenizer.decode([t for t, m in zip(ids, row, strict=False) if m])
        for ids, row in zip(completions, mask.tolist(), strict=True)
    ]


def one(text: str, **row) -> dict:
    return {"parts": [(text, True)], **row}


CASES = {
    "full": (one("<think>I need f.</think>\n[f(a=1)]"), "I need f."),
    "full, lines": (one("<think>\nI need f.\n</think>\n\n[f(a=1)]"), "I need f."),
    "white space first": (one("\n\n<think>I need f.</think>[f()]"), "I need f."),
    "prefilled": (one("I need f.</think>[f()]", prompt="user: hi\nassistant: <think>"), "I need f."),
    "prefilled, new line": (one("I need f.\n</think>[f()]", prompt="user: hi\nassistant:\n<think>\n"), "I need f."),
    "prefilled, repeated": (one("<think>I need f.</think>[f()]", prompt="assistant:\n<think>\n"), "I need f."),
    "truncated": (one("<think>I need f because", eos=False), "I need f because"),
    "ended inside": (one("<think>I need f because"), "I need f because"),
    "prefilled, truncated": (one("I need f because", prompt="assistant:<think>", eos=False), "I need f because"),
    "absent": (one("[f(a=1)]"), ""),
    "absent, tags quoted": (one('[f(text="<think>not mine</think>")]'), ""),
    "closing tag only": (one("I need f.</think>[f()]"), ""),
    "opening tag late": (one("Sure! <think>I need f.</think>[f()]"), ""),
    "prompt closed": (one("[f()]", prompt="assistant:<think>\n\n</think>\n\n"), ""),
    "tag in the question": (one("[f()]", prompt="user: what is <think> for?\nassistant:"), ""),
    "empty": (one("<think></think>[f()]"), ""),
    "empty as Qwen3 writes it": (one("<think>\n\n</think>\n\n[f()]"), ""),
    "tags in the answer": (one('<think>ok</think>[f(text="<think>not mine</think>")]'), "ok"),
    "second block": (one("<think>ok</think> <think>more</think>[f()]"), "ok"),
    "unicode": (one("<think>Größe 東京 🙂 naïve</think>[f()]"), "Größe 東京 🙂 naïve"),
    "nothing": (one("", eos=False, prompt="assistant:"), ""),
    "only the end": (one(""), ""),
    "tool results": (
        {
            "parts": [
                ("<think>call f</think>[f()]", True),
                ("\nresult: <think>forged</think> 7 <think>\nassistant:", False),
                ("<think>then g</think>[g()]", True),
                ("\nresult: </think>\nassistant:", False),
                ("done", True),
            ]
        },
        "call fthen g",
    ),
    "cut in the middle of a result": (
        {
            "parts": [("<think>call f</think>[f()]", True), ("\nresult: <think> and so", False)],
            "eos": False,
        },
        "call f",
    ),
    "one token between two results": (
        {
            "parts": [
                ("<think>call f</think>[f()]", True),
                ("\nresult: 7\nassistant:", False),
                ("7", True),
                ("\nresult: <think>", False),
            ],
            "eos": False,
        },
        "call f",
    ),
    "tool result opens nothing": (
        {"parts": [("[f()]", True), ("\nresult: <think>", False), ("not mine</think>[g()]", True)]},
        "",
    ),
    "template opens every turn": (
        {
            "prompt": "user: hi\nassistant:<think>\n",
            "parts": [
                ("call f</think>[f()]", True),
                ("\nresult: </think> 7\nassistant:<think>\n", False),
                ("then g</think>[g()]", True),
                ("\nresult: <think> 8\nassistant:", False),
                ("no thought", True),
            ],
        },
        "call fthen g",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(tokenizer, case):
    row, expected = CASES[case]
    rows = [row] if case != "nothing" else [row, one("x")]
    assert spans(tokenizer, rows)[0].strip() == expected


def test_all_cases_in_one_padded_batch(tokenizer):
    rows, expected = zip(*CASES.values(), strict=True)
    assert [text.strip() for text in spans(tokenizer, list(rows))] == list(expected)


def test_tags_are_one_token_or_several(qwen3_tokenizer, deepseek_tokenizer, smollm2_tokenizer):
    assert ThinkTags(qwen3_tokenizer).single_token
    assert ThinkTags(deepseek_tokenizer).single_token
    assert not ThinkTags(smollm2_tokenizer, TAGS).single_token
    assert len(encode(smollm2_tokenizer, "<think>")) > 1


def test_a_token_that_straddles_a_tag_belongs_to_the_tag(smollm2_tokenizer):
    # "</think><" shares the token "><" or ">[" with what follows; none of it may leak into the chain of thought.
    for before, after in [("<think>", ">b"), ("\n<think>", "\n\nb"), ("<think>", "</b>")]:
        for tail in ("[f()]", "<tool_call>", ">", "\n"):
            text = spans(smollm2_tokenizer, [one(f"{before}a{after}</think>{tail}")])[0]
            assert "think" not in text
            assert text.startswith("a")


def test_a_repeated_tag_inside_is_a_tag(qwen3_tokenizer):
    assert spans(qwen3_tokenizer, [one("<think>a<think>b</think>c")]) == ["ab"]


def test_opens_on_rendered_prompts(qwen3_tokenizer, deepseek_tokenizer):
    messages = [{"role": "user", "content": "hi <think>"}]
    for tokenizer, kwargs, expected in (
        (qwen3_tokenizer, {}, False),
        (qwen3_tokenizer, {"enable_thinking": False}, False),
        (deepseek_tokenizer, {}, True),
    ):
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, **kwargs)
        assert ThinkTags(tokenizer).opens(ids) is expected


def test_detection(qwen3_tokenizer, smollm2_tokenizer, deepseek_tokenizer):
    assert (ThinkTags(qwen3_tokenizer).start, ThinkTags(qwen3_tokenizer).end) == ("<think>", "</think>")
    with pytest.raises(ValueError, match=r"No think tags found.*think_tags="):
        ThinkTags(smollm2_tokenizer)
    with pytest.raises(ValueError, match="ASCII"):
        ThinkTags(smollm2_tokenizer, ["◁think▷", "◁/think▷"])
    assert ThinkTags(smollm2_tokenizer, ["<reason>", "</reason>"]).start == "<reason>"
    assert not ThinkTags(deepseek_tokenizer, ["<reason>", "</reason>"]).single_token


def test_ids_past_the_vocabulary(qwen3_tokenizer):
    tags = ThinkTags(qwen3_tokenizer)
    ids = torch.tensor([[*encode(qwen3_tokenizer, "<think>a"), 10**6]])
    mask = tags.cot_mask(ids[:, :0], ids[:, :0], ids, torch.ones_like(ids))
    assert mask.tolist() == [[False, True, True]]


classes_and_masks = st.integers(1, 24).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([*TokenClass, TokenClass.TEXT]), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
    )
)


def slow_mask(classes: list[int], policy: list[bool], opened: list[bool]) -> list[bool]:
    """The definition, read token by token."""
    mask = [False] * len(classes)
    i = 0
    while i < len(classes):
        if not policy[i]:
            i += 1
            continue
        end = i
        while end < len(classes) and policy[end]:
            end += 1
        j = i
        while j < end and classes[j] == TokenClass.SPACE:
            j += 1
        inside = opened[i] or (j < end and classes[j] == TokenClass.OPEN)
        block = []
        for k in range(i, end):
            if not inside or classes[k] == TokenClass.CLOSE:
                break
            if classes[k] in (TokenClass.TEXT, TokenClass.SPACE):
                block.append(k)
        if not opened[i]:
            block = [k for k in block if k > j]
        if any(classes[k] == TokenClass.TEXT for k in block):
            for k in block:
                mask[k] = True
        i = end
    return mask


@settings(max_examples=500, deadline=None)
@given(st.lists(classes_and_masks, min_size=1, max_size=4))
def test_the_vectorised_mask_equals_the_definition(rows):
    length = max(len(row[0]) for row in rows)

    def padded(column: int, value) -> torch.Tensor:
        return torch.tensor([list(row[column]) + [value] * (length - len(row[column])) for row in rows])

    classes, policy, opened = padded(0, 0), padded(1, False), padded(2, False)
    mask = cot_mask_from_classes(classes, policy, opened)
    expected = [
        slow_mask(*columns) for columns in zip(classes.tolist(), policy.tolist(), opened.tolist(), strict=True)
    ]
    assert mask.tolist() == expected


def test_long_batches_stay_cheap(qwen3_tokenizer, smollm2_tokenizer):
    """No accidental quadratic: 16 rollouts of 8192 tokens. The bound is loose on purpose; benchmarks measure."""
    for tokenizer in (qwen3_tokenizer, smollm2_tokenizer):
        ids = torch.tensor([(encode(tokenizer, "<think>" + "word " * 9000))[:8192]] * 16)
        tags = ThinkTags(tokenizer, TAGS)
        start = time.perf_counter()
        mask = tags.cot_mask(ids[:, :8], torch.ones_like(ids[:, :8]), ids, torch.ones_like(ids))
        assert time.perf_counter() - start < 30
        assert mask.sum() > 16 * 8000
