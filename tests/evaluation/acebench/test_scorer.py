"""The process that runs the official code: what stands for `eval`, and what is kept of the checker's verdicts."""

from collections import defaultdict

import pytest

from egpo_trl.evaluation.acebench.scorer import evaluate_arithmetic, record_verdicts


@pytest.mark.parametrize(
    ("expression", "value"),
    [("1+2*3", 7), ("-(4-1)/2", -1.5), ("7//2", 3), ("7%4", 3), ("1.5+1", 2.5)],
)
def test_arithmetic_is_evaluated(expression, value):
    assert evaluate_arithmetic(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["__import__('os').system('true')+1", "'a'*10", "9**9", "1<<9", "True+1", "10**18*10", "x+1", "[1]+[2]", "f()+1"],
)
def test_nothing_else_is(expression):
    with pytest.raises(ValueError, match="not arithmetic"):
        evaluate_arithmetic(expression)


def test_a_checker_that_raises_makes_its_answer_wrong():
    def checker(functions, answer, reference, question, category):
        if answer is None:
            raise KeyError("x")
        return {"valid": answer == reference, "error": [], "error_type": "value_error"}

    verdicts = defaultdict(list)
    recorded = record_verdicts(checker, verdicts)
    assert recorded([], 1, 1, "", "c")["valid"]
    assert recorded([], 1, 2, "", "c")["error_type"] == "value_error"
    assert recorded([], None, 2, "", "d") == {
        "valid": False, "error": ["scorer_error: KeyError"], "error_type": "scorer_error: KeyError",
    }  # fmt: skip
    assert verdicts == {"c": [True, "value_error"], "d": ["scorer_error: KeyError"]}


def test_what_the_checker_quotes_can_be_written():
    def checker(functions, answer, reference, question, category):
        return {"valid": False, "error": [f"real: {answer}", {"x": answer}], "error_type": "value_error"}

    result = record_verdicts(checker, defaultdict(list))([], "\ud800\x01é", 1, "", "c")
    assert result["error"] == ["real: \ufffd\ufffdé", {"x": "\ufffd\ufffdé"}]
