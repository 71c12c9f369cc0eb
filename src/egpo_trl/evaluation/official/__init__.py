"""Runs the scoring code of benchmarks in a restricted process."""
