"""A small repository in the layout of ACEBench, and runs of its stand-in scorer."""

import shutil
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent / "checkout"


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(CHECKOUT, tmp_path / "ACEBench", ignore=shutil.ignore_patterns("__pycache__")))
