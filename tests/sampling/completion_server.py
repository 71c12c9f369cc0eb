"""A real HTTP server on loopback that completes prompts, and misbehaves as the judge's does."""

import json

from tests.cleaning.judge_server import JudgeServer


class CompletionServer(JudgeServer):
    """Answers by `answer(body)`: a text, or an assistant message."""

    def __init__(self, answer, **options):
        super().__init__(None, **options)
        self.answer = answer

    def question(self, body):
        return json.dumps(body.get("messages") or body["prompt"])

    def body_for(self, body):
        given = self.answer(body)
        if "prompt" in body:
            choice = {"text": given, "finish_reason": "stop"}
        else:
            message = given if isinstance(given, dict) else {"role": "assistant", "content": given}
            choice = {"message": message, "finish_reason": "length" if given == "cut" else "stop"}
        return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 11, "total_tokens": 20}}).encode()
