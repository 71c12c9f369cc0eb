"""Provides the embedded worlds and their tiny policies."""
