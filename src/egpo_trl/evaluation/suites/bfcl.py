"""the Berkeley Function-Calling Leaderboard, by its official checkers"""

from ..bfcl.suite import BFCL as SUITE

__all__ = ["SUITE"]
