"""What is said when the official package is missing, another version, or changed; categories."""

import re
import shutil

import pytest

from egpo_trl.evaluation.bfcl import official_cli, package
from egpo_trl.evaluation.bfcl.categories import CATEGORIES, GROUPS, LIVE, MULTI_TURN, category_of, folder_of
from egpo_trl.evaluation.subsets import find_categories
from tests.conftest import package_dir


def test_the_data_files_are_those_that_were_published():
    assert package.check_data(CATEGORIES) == package_dir("bfcl_eval") / "data"
    questions = {f"BFCL_v4_{category}.json" for category in CATEGORIES}
    assert questions <= package.known_checksums().keys()


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    found = package.find_spec
    missing = {"bfcl_eval", "tree_sitter"}
    monkeypatch.setattr(package, "find_spec", lambda name: None if name in missing else found(name))
    with pytest.raises(ValueError, match=r"BFCL needs bfcl_eval, tree_sitter, not installed here") as error:
        package.package_folder()
    assert f"pip install --no-deps bfcl-eval=={package.VERSION}" in str(error.value)


def test_the_official_command_says_so_too(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "version", lambda name: "2025.7.17")
    with pytest.raises(SystemExit, match=r"and 2025\.7\.17 is installed here"):
        official_cli.main([str(tmp_path), "evaluate"])


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(package, "version", lambda name: "2025.7.17")
    with pytest.raises(ValueError, match=re.escape(f"scored with bfcl-eval {package.VERSION}, and 2025.7.17 is")):
        package.package_folder()


@pytest.mark.parametrize(
    "name",
    ["BFCL_v4_simple_java.json", "possible_answer/BFCL_v4_multi_turn_base.json", "multi_turn_func_doc/math_api.json"],
)
def test_a_changed_data_file_is_named(tmp_path, monkeypatch, name):
    shutil.copytree(package_dir("bfcl_eval") / "data", tmp_path / "data")
    monkeypatch.setattr(package, "package_folder", lambda: tmp_path)
    package.check_data(CATEGORIES)
    file = tmp_path / "data" / name
    file.write_bytes(file.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(ValueError, match=f"the data file {re.escape(name)} of bfcl-eval .* was changed"):
        package.check_data(CATEGORIES)
    package.check_data(["irrelevance"])  # others are still in order
    file.unlink()
    with pytest.raises(ValueError, match="its SHA-256 is nothing"):
        package.check_data(CATEGORIES)


def test_categories_by_name():
    assert find_categories("all", GROUPS, CATEGORIES) == CATEGORIES
    assert find_categories(" multi_turn_base, live ,simple_java,live_simple", GROUPS, CATEGORIES) == (
        "simple_java",
        *LIVE,
        "multi_turn_base",
    )
    for names in ("simple", "live,web_search", "memory"):
        with pytest.raises(ValueError, match="is unknown or not evaluated here; choose among non_live, live, "):
            find_categories(names, GROUPS, CATEGORIES)
    with pytest.raises(ValueError, match="must name at least one"):
        find_categories(" , ", GROUPS, CATEGORIES)


def test_folders_and_ids():
    assert category_of("live_simple_19-3-15") == "live_simple"
    assert category_of("multi_turn_base_7") == "multi_turn_base"
    assert [folder_of(name) for name in ("simple_java", "live_relevance", MULTI_TURN[0])] == [
        "non_live",
        "live",
        "multi_turn",
    ]
