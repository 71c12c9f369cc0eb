"""Sampling a model on rows and judging what it answers."""
