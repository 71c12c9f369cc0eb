"""ACEBench by the official code of a checkout (--repo)"""

from ..acebench.suite import ACEBench as SUITE

__all__ = ["SUITE"]
