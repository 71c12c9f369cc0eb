"""The sentences of the page that do not depend on the results."""

INTRODUCTION = """
# The study: does the entropy of the chain of thought help?

EGPO ([arXiv 2508.05118](https://arxiv.org/abs/2508.05118)) adds a clipped bonus of the policy's entropy to GRPO's
advantages. This page compares it with GRPO and with arms that each take one part of the bonus away, on small generated
worlds where many seeds are affordable. The [plan](study_plan.md) was committed before the first run.
`python -m benchmarks.study report` writes this page and its figures from the CSV files in `benchmarks/study/results`; a
test compares them.
"""

NOTHING_YET = """
No block of fresh runs is complete yet, so there is nothing to compare. The tuning below shows what is finished.
"""

METHOD = """
## How to repeat it

```bash
python -m benchmarks.study run --jobs 2   # continues where it stopped; a finished run is never repeated
python -m benchmarks.study status
python -m benchmarks.study report
```

The first command builds the warm starts, tunes the arms, chooses the knobs by the rule of the plan, and runs the fresh
pairs block by block, one thread a run. It needs no network and no GPU. `runs.csv` has one line a run, `curves.csv` its
reward, entropy and length of the thought by step, `warm_starts.csv` the policies that runs start from.
"""

LIMITS = """
## What this does not show

- The policies have a million parameters, the worlds are generated, and a run has few steps. Whether a large model on real
  functions behaves alike is another question.
- The tests speak about new seeds on these warm starts. "p over warm starts" asks whether an effect holds over warm
  starts, and with three or four of them it sees large effects only.
- Knobs were tuned on one task with two runs a value, and α was not tuned. The learning rate was tuned for GRPO, which
  favours it.
- Placebo bonuses are shuffled between rollouts, so a token can get a bonus above its own |A| / α.
- `sft` reads right answers with a written thought, which the other arms never see. It is a point of reference.
"""
