"""BFCL: every Python category of the installed wheel, both kinds of reference, and malformed entries."""

import json
import shutil
from collections import Counter

import pytest

from egpo_trl import ToolCallReward
from egpo_trl.data.ast_evaluation import evaluate_row
from egpo_trl.data.sources import convert
from egpo_trl.data.sources.bfcl import PYTHON_CATEGORIES, questions
from tests.conftest import package_dir
from tests.tool_calls.test_bfcl_matching import UNSATISFIABLE

COUNTS = {
    "simple_python": 400, "multiple": 200, "parallel": 200, "parallel_multiple": 200, "irrelevance": 240,
    "live_simple": 258, "live_multiple": 1053, "live_parallel": 16, "live_parallel_multiple": 24,
    "live_irrelevance": 884,
}  # fmt: skip
QUESTION = {
    "id": "simple_python_0",
    "question": [[{"role": "user", "content": "Area of a triangle with base 10 and height 5?"}]],
    "function": [
        {
            "name": "triangle.area",
            "description": "Area.",
            "parameters": {
                "type": "dict",
                "properties": {
                    "base": {"type": "integer"},
                    "name": {"type": "string"},
                    "height": {"type": "float"},
                    "unit": {"type": "string"},
                    "pair": {"type": "tuple", "items": {"type": "float"}},
                    "more": {
                        "type": "dict",
                        "properties": {"a": {"type": "any"}, "b": {"type": "array", "items": {"type": "dict"}}},
                    },
                },
                "required": ["base", "height", "name"],
            },
        }
    ],
}
ANSWER = {
    "id": "simple_python_0",
    "ground_truth": [
        {
            "triangle.area": {
                "base": ["", 10],
                "name": [""],
                "height": [5, 5.0],
                "unit": ["units", ""],
                "depth": [3, ""],
                "pair": [""],
                "more": [{"a": ["x", "y"], "b": [[{"c": [1, 2], "d": [""]}]], "e": [""]}],
            }
        }
    ],
}


def data_dir():
    return package_dir("bfcl_eval") / "data"


@pytest.fixture(scope="module")
def exact_rows():
    skipped = []
    rows = list(convert(str(data_dir()), "bfcl", on_skip=skipped.append))
    assert Counter((s.id.rsplit("_", 1)[0], s.field) for s in skipped) == {("live_relevance", "ground_truth"): 16}
    return rows


def test_every_python_category_converts(exact_rows):
    assert Counter(row["id"].rsplit("_", 1)[0] for row in exact_rows) == COUNTS
    assert {row["reference"] == "[]" for row in exact_rows if "irrelevance" in row["id"]} == {True}
    assert {row["reference"] == "[]" for row in exact_rows if "irrelevance" not in row["id"]} == {False}


def test_references_fit_their_schemas_but_for_defects_of_the_benchmark(exact_rows):
    reasons = Counter(reason for row in exact_rows if (reason := evaluate_row(row)) is not None)
    assert reasons == {"wrong_type": 10, "wrong_value": 7, "missing_argument": 1, "unexpected_argument": 1}


def test_first_values_earn_the_reward_by_bfcls_rules(exact_rows):
    rows = {row["id"]: row for row in convert(str(data_dir()), "bfcl", reference="bfcl", on_skip=lambda skipped: None)}
    assert rows.keys() == {row["id"] for row in exact_rows}
    asked = [row for row in exact_rows if row["reference"] != "[]"]
    completions = []
    for row in asked:
        calls = "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in json.loads(row["reference"]))
        completions.append(f"<think>\nx\n</think>\n\n{calls}")
    reward = ToolCallReward(syntax="hermes", comparison="bfcl", think_prefilled=False)
    columns = {name: [rows[row["id"]][name] for row in asked] for name in ("tools", "reference")}
    rewards = reward([""] * len(asked), completions, **columns)
    assert {row["id"] for row, value in zip(asked, rewards, strict=True) if value != 1.0} == UNSATISFIABLE


def test_a_file_a_folder_and_chosen_categories(tmp_path):
    file = data_dir() / "BFCL_v4_parallel.json"
    assert len(list(convert(str(file), "bfcl"))) == 200
    rows = list(convert(str(data_dir()), "bfcl", categories=["simple_java", "multiple"]))
    assert len(rows) == 300
    for row in convert(str(data_dir()), "bfcl", categories=["multi_turn_base"], on_skip=lambda s: rows.append(s)):
        pytest.fail(f"{row['id']} has no functions of its own")
    assert {skipped.field for skipped in rows[300:]} == {"function"}
    shutil.copy(file, tmp_path / file.name)  # without its answers
    skipped = []
    assert list(convert(str(tmp_path), "bfcl", on_skip=skipped.append)) == []
    assert len(skipped) == 200
    assert "is the folder possible_answer beside the question file?" in skipped[0].reason


def write(folder, question, answer):
    (folder / "possible_answer").mkdir()
    (folder / "BFCL_v4_simple_python.json").write_text(json.dumps(question) + "\n")
    (folder / "possible_answer" / "BFCL_v4_simple_python.json").write_text(json.dumps(answer) + "\n")


def test_values_and_types(tmp_path):
    write(tmp_path, QUESTION, ANSWER)
    (row,) = convert(str(tmp_path), "bfcl")
    arguments = {"base": 10, "name": "", "height": 5, "unit": "units", "more": {"a": "x", "b": [{"c": 1}]}}
    assert json.loads(row["reference"]) == [{"name": "triangle.area", "arguments": arguments}]
    schema = json.loads(row["tools"])[0]["function"]["parameters"]
    assert schema["type"] == schema["properties"]["more"]["type"] == "object"
    assert schema["properties"]["height"] == {"type": "number"}
    assert schema["properties"]["pair"] == {"type": "array", "items": {"type": "number"}}
    assert schema["properties"]["more"]["properties"]["a"] == {}
    assert evaluate_row(row) is None
    (row,) = convert(str(tmp_path), "bfcl", reference="bfcl")
    assert json.loads(row["reference"])[0]["arguments"] == ANSWER["ground_truth"][0]["triangle.area"]
    assert list(questions(str(tmp_path))) == [("simple_python_0", QUESTION["question"][0][0]["content"])]


@pytest.mark.parametrize(
    ("question", "answer", "field"),
    [
        ({"function": None}, {}, "function"),
        ({"function": [{}]}, {}, "function"),
        ({"question": None}, {}, "question"),
        ({"question": [[], []]}, {}, "question"),
        ({"question": [[]]}, {}, "question"),
        ({"question": [[{"role": "user"}]]}, {}, "question"),
        ({"id": 3}, {}, "ground_truth"),
        ({}, {"id": "other"}, "ground_truth"),
        ({}, {"ground_truth": "f()"}, "ground_truth"),
        ({}, {"ground_truth": ["f(a=1)"]}, "ground_truth"),
        ({}, {"ground_truth": [{"f": {}, "g": {}}]}, "ground_truth"),
        ({}, {"ground_truth": [{"f": [1]}]}, "ground_truth"),
        ({}, {"ground_truth": [{"": {}}]}, "reference"),
    ],
)
def test_malformed_entries(tmp_path, question, answer, field):
    write(tmp_path, {**QUESTION, **question}, {**ANSWER, **answer})
    skipped = []
    assert list(convert(str(tmp_path), "bfcl", on_skip=skipped.append)) == []
    assert [s.field for s in skipped] == [field]


def test_errors(tmp_path):
    with pytest.raises(ValueError, match=r"reference must be one of \('exact', 'bfcl'\)"):
        convert(str(tmp_path), "bfcl", reference="first")
    with pytest.raises(FileNotFoundError, match="holds no BFCL question file of simple_python"):
        list(convert(str(tmp_path), "bfcl"))
    with pytest.raises(FileNotFoundError, match="holds no BFCL question file"):
        list(questions(str(tmp_path)))


def test_questions_of_the_installed_wheel():
    found = dict(questions())
    assert len(found) > 4500
    assert {question_id.rsplit("_", 1)[0] for question_id in found} >= COUNTS.keys() | {"multi_turn_base"}
    assert set(PYTHON_CATEGORIES) >= COUNTS.keys()
