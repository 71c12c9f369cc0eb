"""Versions that a run records."""

import pytest

from egpo_trl.utils.versions import versions


def test_versions():
    found = versions("pytest", "no-such-package")
    assert found.keys() == {"python", "platform", "pytest"}
    assert found["pytest"] == pytest.__version__
