import json

import pytest

from egpo_trl.evaluation.bfcl.categories import CATEGORIES
from egpo_trl.evaluation.bfcl.sandbox import Sandbox
from tests.conftest import package_dir


@pytest.fixture(scope="session")
def plain_entries():
    """Questions as the data files have them, by id."""
    data = package_dir("bfcl_eval") / "data"
    files = [(data / f"BFCL_v4_{category}.json").read_text(encoding="utf-8") for category in CATEGORIES]
    return {entry["id"]: entry for text in files for entry in map(json.loads, text.splitlines())}


@pytest.fixture(scope="session")
def entries():
    """Questions as the official code shows them to a model, with their answers, by id."""
    with Sandbox("fc") as sandbox:
        return {entry["id"]: entry for category in CATEGORIES for entry in sandbox.ask("entries", category=category)}
