"""Evaluates models on benchmarks and rows."""
