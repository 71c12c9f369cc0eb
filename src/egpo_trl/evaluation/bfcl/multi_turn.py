"""Holds conversations of several turns, whose calls run on the official simulated interfaces."""

from collections.abc import Callable, Mapping
from typing import Any

from ...data.json_schema import to_tools
from ...data.sources.conversation import Conversation, dump_json
from ...data.sources.messages import add_messages
from ...sampling.completion import UNSAMPLED, Completion
from ...tool_calls.calls import ToolCall
from ..suite import Conversation as Steps
from .sandbox import OfficialError, Sandbox, SandboxFailure


def converse(
    entry: Mapping[str, Any],
    sandbox: Sandbox,
    rules: Mapping[str, Any],
    to_official: Callable[[Completion], str],
    official_prompt: bool,
) -> Steps:
    """Hold a conversation by the official rules: a completion without calls ends a turn, too many steps end it all."""
    history = Conversation(to_tools(entry["function"]), "question")
    held_back = entry.get("missed_function", {})
    turns: list[list[str]] = []
    results: list[list[str]] = []
    try:
        for number, question in enumerate(entry["question"]):
            turns.append([])
            results.append([])
            if str(number) in held_back:
                history.tools = to_tools([*entry["function"], *held_back[str(number)]])
                question = [{"role": "user", "content": rules["functions_added"]}]
            add_messages(history, question)
            prompt = None
            if official_prompt:
                prompt = sandbox.ask("conversation", id=entry["id"], turns=turns, show=True)["prompt"]
            while True:
                tools = dump_json(history.tools)
                completion = yield {"prompt": prompt if official_prompt else list(history.messages), "tools": tools}
                if completion.finish_reason in UNSAMPLED:
                    return {"turns": results, "failure": completion.finish_reason}
                turns[-1].append(to_official(completion))
                answer = sandbox.ask("conversation", id=entry["id"], turns=turns, show=official_prompt)
                prompt, step = answer["prompt"], answer["step"]
                results[-1].append(step["result"])
                _add_step(history, step)
                if not step["calls"]:
                    break
                if len(turns[-1]) > rules["step_limit"]:
                    return {"turns": results, "failure": None}  # the official checker sees that turns are missing
    except SandboxFailure as failure:
        return {"turns": results, "failure": f"sandbox_{failure.reason}"}
    except OfficialError:
        return {"turns": results, "failure": "official_error"}
    return {"turns": results, "failure": None}


def _add_step(history: Conversation, step: Mapping[str, Any]) -> None:
    if step["calls"]:
        history.add_calls([ToolCall(call["name"], call["arguments"]) for call in step["calls"]])
    else:
        history.messages.append({"role": "assistant", "content": step["result"]})
    if step["reasoning_content"]:
        history.messages[-1]["reasoning_content"] = step["reasoning_content"]
    for result in step["results"]:
        history.add_result(result)
