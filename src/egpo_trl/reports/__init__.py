"""Reads the files of a run and shows them: curves, HTML, terminal."""
