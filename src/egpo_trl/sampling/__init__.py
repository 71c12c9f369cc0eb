"""Asks a model: transformers, vLLM, or an endpoint."""
