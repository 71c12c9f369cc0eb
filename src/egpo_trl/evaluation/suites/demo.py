"""held-out queries of the embedded tool world"""

from ..row_suites import DemoSuite as SUITE

__all__ = ["SUITE"]
