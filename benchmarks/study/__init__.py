"""The study of docs/study_plan.md: arms, tasks, runner, statistics and report. See `python -m benchmarks.study --help`."""
