"""One command from a config to the files of a run."""
