"""One renderer: whatever the chat template and the form of the row, every text is in the prompt, or the row is named."""

import json

import pytest

from egpo_trl.data.rendering import PromptRenderer, RenderingError
from egpo_trl.data.template_form import in_form, shows_tools
from tests.data.templates import HAND_WRITTEN, HISTORIES, NAMES, TOOLS, USER, call, row_of, with_template

EVERY = [*NAMES, *HAND_WRITTEN]

# What a chat template cannot show, by template (without `_training`) and history. All others show everything.
LOST = {
    ("gptoss", "two calls"): "does not show the call of 'get_weather' of message 1",
    ("llama3_1", "two calls"): "TemplateError: This model only supports single tool-calls at once!",
    ("llama3_2", "two calls"): "TemplateError: This model only supports single tool-calls at once!",
    ("llama3_1", "text beside a call"): "does not show the text of message 1 (assistant)",
    ("llama3_2", "text beside a call"): "does not show the text of message 1 (assistant)",
    ("muse_glimmer", "text beside a call"): "does not show the text of message 1 (assistant)",
    ("mistral", "text beside a call"): "does not show the text of message 1 (assistant)",
    **{("lfm2", history): "does not show the call" for history in HISTORIES if "tool_calls" in str(HISTORIES[history])
       and history not in ("user", "system", "parts")},
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_paper_style_shows_every_text_with_every_template(tiny_tokenizer, name):
    renderer = PromptRenderer(with_template(tiny_tokenizer, name), "paper")
    for history in HISTORIES:
        row = row_of(history)
        assert renderer.problem(row) is None, history
        text = renderer.tokenizer.decode(renderer(row))
        assert "get_weather" in text, history
        assert ("minus 17.25" in text) == ("minus 17.25" in str(row["prompt"])), history


@pytest.mark.parametrize("name", EVERY)
def test_native_style_shows_every_text_or_names_what_is_lost(tiny_tokenizer, name):
    renderer = PromptRenderer(with_template(tiny_tokenizer, name))
    if not shows_tools(renderer.prompt_text):
        with pytest.raises(ValueError, match="ignores tools"):
            renderer.check_template()
        return
    for history in HISTORIES:
        row, lost = row_of(history), LOST.get((name.removesuffix("_training"), history))
        problem = renderer.problem(row, TOOLS)
        if lost is None:
            assert problem is None, (history, problem)
            text = renderer.prompt_text(row["prompt"], TOOLS)
            assert '\\"city' not in text, history  # arguments that were encoded twice
            assert "{'type'" not in text, history  # content as Python writes it
        else:
            assert lost in problem.words, history


def test_templates_that_take_tools():
    """The test above is not empty."""
    assert sum(name.startswith(("qwen", "gemma4", "glm", "llama3_", "gptoss", "nemotron")) for name in NAMES) > 20


@pytest.mark.parametrize("name", ["qwen3", "deepseekv3", "mistral", "kimi", "gptoss", "llama3_1"])
def test_what_the_template_shows_is_what_the_row_says(tiny_tokenizer, name):
    renderer = PromptRenderer(with_template(tiny_tokenizer, name))
    texts = {renderer.prompt_text(HISTORIES[history], TOOLS) for history in (
        "call", "arguments as an object", "content null", "no content", "no ids", "padded by Arrow")}  # fmt: skip
    assert len(texts) == 1  # the same row in six spellings


def test_a_row_that_the_template_refuses_is_named_in_one_line(tiny_tokenizer):
    renderer = PromptRenderer(with_template(tiny_tokenizer, "llama3_1"))
    with pytest.raises(RenderingError) as error:
        renderer(row_of("two calls"))
    assert str(error.value) == (
        "row 'w1': the chat template does not render it: TemplateError: This model only supports single tool-calls at once!"
    )


@pytest.mark.parametrize(
    ("name", "answer", "lost"),
    [
        ("qwen3", {"content": "", "tool_calls": [call("Rome", as_text=False)], "reasoning_content": "Look."}, None),
        ("qwen3", {"content": "Nothing fits."}, None),
        ("mistral", {"content": "", "tool_calls": [call("Rome", as_text=False)]}, None),
        ("kimi", {"content": "", "tool_calls": [call("Rome", as_text=False)]}, None),
        ("lfm2", {"content": "", "tool_calls": [call("Rome", as_text=False)]}, "the call of 'get_weather' of the answer"),
        ("llama3_1", {"content": "", "tool_calls": [call("Rome", as_text=False)], "reasoning_content": "Look."}, "the thought"),
        ("llama3_1", {"content": "<think>Look.</think>Nothing fits."}, None),
        ("deepseek_r1_distill", {"content": "<think>Look.</think>Nothing fits."}, "the thought"),
        ("deepseek_r1_distill", {"content": "", "tool_calls": [call("Rome", as_text=False)]}, "the call"),
    ],
)  # fmt: skip
def test_answers_that_the_template_loses(tiny_tokenizer, name, answer, lost):
    renderer = PromptRenderer(with_template(tiny_tokenizer, name))
    tools = None if name == "deepseek_r1_distill" else TOOLS  # which it ignores
    problem = renderer.problem(row_of("user"), tools, {"role": "assistant", **answer})
    if lost is None:
        assert problem is None
        target = renderer.target(*renderer.conversation(row_of("user"), {"role": "assistant", **answer}), TOOLS)
        assert ("Rome" if "tool_calls" in answer else "Nothing fits.") in target
        assert "Weather?" not in target
    else:
        assert problem.reason == "not_in_target"
        assert lost in problem.words


def test_images_are_left_to_the_processor(tiny_tokenizer):
    """Text is joined only where all parts are text."""
    parts = [{"type": "image", "text": None}, {"type": "text", "text": "What is it?"}]
    (message,) = in_form([{"role": "user", "content": parts}])
    assert message["content"] == [{"type": "image"}, {"type": "text", "text": "What is it?"}]


def test_no_functions_render_like_none(tiny_tokenizer):
    """Some templates render boilerplate for an empty list."""
    renderer = PromptRenderer(with_template(tiny_tokenizer, "llama3_1"))
    rows = [{**row_of("user"), "tools": tools} for tools in ("[]", None)]
    assert renderer(rows[0]) == renderer(rows[1]) == renderer.prompt_ids([USER], None)


def test_a_rendered_string_stays_as_it_is(tiny_tokenizer):
    renderer = PromptRenderer(tiny_tokenizer, "paper")
    assert renderer({"prompt": "as is"}) == tiny_tokenizer.encode("as is")
    assert renderer.problem({"prompt": "as is"}) is None


def test_marks_do_not_change_rows(tiny_tokenizer):
    row = row_of("two calls")
    before = json.dumps(row)
    PromptRenderer(tiny_tokenizer).problem(row, TOOLS)
    assert json.dumps(row) == before
