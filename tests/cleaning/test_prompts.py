"""The judge's prompt files: packaged, replaceable, and safe against what rows hold."""

import pytest

from egpo_trl.cleaning.candidates import Candidate
from egpo_trl.cleaning.prompts import load_prompts, render_conversation

ROW = {"prompt": [{"role": "user", "content": "costs $5, ${answer} $tools", "tool_calls": None}], "tools": None}


def test_packaged_prompts():
    prompts = load_prompts()
    system, user = prompts.render(ROW, Candidate([], "No."))
    assert "JSON" in system["content"]
    assert '{"role": "user", "content": "costs $5, ${answer} $tools"}' in user["content"]
    assert "<functions>\n[]\n</functions>" in user["content"]
    assert "(text, no call) No." in user["content"]
    assert render_conversation("<|im_start|>user") == "<|im_start|>user"


def test_prompts_of_ones_own(tmp_path):
    system, user = tmp_path / "system.txt", tmp_path / "user.txt"
    system.write_text("Judge.")
    user.write_text("For $$1: $conversation / ${tools} / $answer")
    prompts = load_prompts(str(system), str(user))
    messages = prompts.render({"prompt": "hi", "tools": "[]"}, Candidate([{"name": "f", "arguments": {}}]))
    assert [message["content"] for message in messages] == [
        "Judge.",
        'For $1: hi / [] / [{"name": "f", "arguments": {}}]',
    ]
    assert prompts.fingerprint != load_prompts().fingerprint == load_prompts().fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$conversation $tools", r"user_prompt_file lacks \$answer"),
        ("$conversation $tools $answer $question", r"has \$question, which is unknown"),
        ("$conversation $tools $answer for 5$", r"must be written \$\$"),
    ],
)
def test_bad_prompt_files(tmp_path, text, message):
    path = tmp_path / "user.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_prompts(None, str(path))
    with pytest.raises(ValueError, match="system_prompt_file: cannot read"):
        load_prompts(str(tmp_path / "none.txt"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="UTF-8"):
        load_prompts(str(path))
