"""ACEBench, scored by the official code of a checkout that the user has fetched; see [`suite.ACEBench`]."""
