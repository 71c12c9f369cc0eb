"""BFCL by the official data and checkers of `bfcl-eval`, which run in a process of their own.

This process never imports the official package: it makes folders where it stands, wants every vendor's client, passes
text of the model to `eval`, and keeps state in globals. See [`~egpo_trl.evaluation.bfcl.worker`].
"""
