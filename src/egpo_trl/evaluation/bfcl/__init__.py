"""Runs BFCL with the official data and checkers of `bfcl-eval`, which this process never imports: see `worker`."""
