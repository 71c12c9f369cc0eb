import json

import pytest

from egpo_trl.evaluation.bfcl.categories import CATEGORIES
from tests.conftest import package_dir


@pytest.fixture(scope="session")
def plain_entries():
    """Questions as the data files have them, by id."""
    data = package_dir("bfcl_eval") / "data"
    files = [(data / f"BFCL_v4_{category}.json").read_text(encoding="utf-8") for category in CATEGORIES]
    return {entry["id"]: entry for text in files for entry in map(json.loads, text.splitlines())}
