"""Training rows: the canonical form, its checks, and loading."""
