"""Writes whole files, journals, tables and progress."""
