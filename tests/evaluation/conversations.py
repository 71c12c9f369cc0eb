"""Holds the conversations of a suite with a function in place of a model."""

from egpo_trl.evaluation.records import Sample
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.sampler import PromptFormat


def hold(suite, answer, number=0):
    """Samples of all items; `answer` makes the text, or the completion, for a row."""
    samples = []
    for item in suite.items():
        conversation = suite.conversation(item)
        completions = []
        row = next(conversation)
        while True:
            given = answer(row)
            completions.append(given if isinstance(given, Completion) else Completion(given))
            try:
                row = conversation.send(completions[-1])
            except StopIteration:
                break
        samples.append(Sample(item, number, tuple(completions)))
    return samples


def scores_of(suite, answer, output, prompts=None):
    """Scores and reasons by item id, and the summary."""
    suite.begin(prompts or PromptFormat())
    scored = suite.score(hold(suite, answer), output)
    return {one.id: (one.score, one.reason) for one in scored}, suite.summarize(scored)
