"""API-Bank by the official code of a checkout (--repo)"""

from ..api_bank.suite import APIBank as SUITE

__all__ = ["SUITE"]
