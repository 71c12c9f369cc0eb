"""The reasoning template: one block, closed, first."""

import pytest

from egpo_trl.tool_calls.thinking import split_completion


@pytest.mark.parametrize(
    ("text", "options", "thought", "answer", "reason"),
    [
        ("<think>a</think>b", {}, "a", "b", None),
        ("\n<think>\na\n</think>\n\nb", {}, "\na\n", "\n\nb", None),
        ("<think></think>b", {}, "", "b", None),
        ("b", {}, None, "b", "no_think_block"),
        ("b<think>a</think>", {}, None, "b<think>a</think>", "no_think_block"),
        ("a</think>b", {}, None, "a</think>b", "no_think_block"),
        ("</think>a<think>b", {}, None, "</think>a<think>b", "no_think_block"),
        ("<think>a", {}, "a", "", "unclosed_think_block"),
        ("<think>a<think>b</think>c", {}, "a<think>b", "c", "several_think_blocks"),
        ("a</think>b", {"prefilled": True}, "a", "b", None),
        ("a", {"prefilled": True}, "a", "", "unclosed_think_block"),
        ("<think>a</think>b", {"prefilled": True}, "<think>a", "b", "several_think_blocks"),
        ("b", {"thinking": "optional"}, None, "b", None),
        ("<think>a</think>b", {"thinking": "optional"}, "a", "b", None),
        ("b", {"thinking": "off"}, None, "b", None),
        ("<think>a</think>b", {"thinking": "off"}, None, "<think>a</think>b", "unexpected_think_block"),
        ("[T]a[/T]b", {"start": "[T]", "end": "[/T]"}, "a", "b", None),
    ],
)
def test_split(text, options, thought, answer, reason):
    split = split_completion(text, **options)
    assert (split.thought, split.answer, split.reason) == (thought, answer, reason)
