"""A suite with conversations of several steps, and a sampler that answers by arithmetic and counts what it is asked."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from egpo_trl.evaluation.records import Item, Scored
from egpo_trl.evaluation.suite import Suite
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.sampler import PromptFormat


@dataclass(kw_only=True)
class CountingSuite(Suite):
    """Item i asks i % 3 + 1 questions, each made from the answer before; right are answers with an even sum."""

    name: ClassVar[str] = "counting"

    size: int = 12
    broken: str = ""  # item whose conversation raises

    def items(self):
        return [
            Item(f"item-{i}", f"steps {i % 3 + 1}", {"prompt": f"start {i}", "steps": i % 3 + 1})
            for i in range(self.size)
        ]

    def conversation(self, item):
        row, answers = item.row, []
        for step in range(item.row["steps"]):
            completion = yield {**row, "prompt": f"{row['prompt']} / {step} / {answers}"}
            if item.id == self.broken:
                raise KeyError("what the model wrote")
            if completion.finish_reason == "prompt_too_long":
                return answers
            answers.append(int(completion.text))
        return answers

    def score(self, samples, output_dir: Path):
        return [
            Scored(
                s.item.id,
                "",
                s.number,
                float(sum(s.outcome or []) % 2 == 0),
                "correct" if sum(s.outcome or []) % 2 == 0 else "odd",
            )
            for s in reversed(samples)
        ]


class Arithmetic:
    """Answers from prompt and seed alone; logs every prompt it is asked into a file, if there is one."""

    def __init__(self, log: Path | None = None, stop_after: int | None = None, refuse: str = "", **identity):
        self.prompts = PromptFormat()
        self.identity = {"backend": "arithmetic", "model": "m", **identity}
        self.log, self.stop_after, self.refuse = log, stop_after, refuse
        self.asked: Counter[str] = Counter()
        self.closed = False

    def sample(self, requests):
        order = sorted(range(len(requests)), key=lambda i: -i)  # not the order of the requests
        for index in order:
            if self.stop_after is not None and sum(self.asked.values()) >= self.stop_after:
                raise self.stopped()
            yield index, self.complete(requests[index])

    def complete(self, request):
        key = f"{request.row['prompt']} / {request.seed}"
        self.asked[key] += 1
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps(key) + "\n")
        if self.refuse and self.refuse in request.row["prompt"]:
            return Completion("", num_prompt_tokens=99, finish_reason="prompt_too_long")
        return Completion(str(sum(map(ord, key)) % 1000), (1, 2), 7)

    def stopped(self):
        from egpo_trl.sampling.sampler import SamplingStopped

        return SamplingStopped("The model went away.")

    def close(self):
        self.closed = True
