"""How the official script is run: its two constants, its stand-ins, and its verdicts."""

import pytest

from egpo_trl.evaluation.api_bank import scorer
from egpo_trl.evaluation.api_bank.scorer import record_verdicts, split_script, stand_ins

SCRIPT = """
def double(x):
    return 2 * x

if __name__ == '__main__':
    data_dir = 'a'
    evaluation_path = 'b'
    seen = (double(data_dir), evaluation_path)
"""
PATHS = {"data_dir": "x", "evaluation_path": "y"}


def test_the_script_runs_with_our_paths():
    definitions, main_part = split_script(SCRIPT, PATHS)
    namespace = {}
    exec(compile(definitions, "definitions", "exec"), namespace)
    assert "seen" not in namespace
    exec(compile(main_part, "main", "exec"), namespace)
    assert namespace["seen"] == ("xx", "y")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("x = 1", "no main part"),
        (SCRIPT + SCRIPT, "no main part"),
        (SCRIPT.replace("data_dir = 'a'", "pass"), r"does not set \['data_dir'\]"),
    ],
)
def test_another_script_is_refused(script, message):
    with pytest.raises(ValueError, match=message):
        split_script(script, PATHS)


def test_stand_ins_can_be_used_as_the_checkout_uses_them():
    modules = stand_ins()
    assert modules["tenacity"].retry(stop=modules["tenacity"].stop_after_attempt(6))(len)("ab") == 2
    for use in (
        lambda: modules["sentence_transformers"].SentenceTransformer("x"),
        lambda: modules["googletrans"].Translator().translate("x"),
    ):
        with pytest.raises(RuntimeError, match="not there"):
            use()


@pytest.fixture
def namespace(monkeypatch):
    """A script whose evaluator does what the answer says."""
    monkeypatch.setattr(scorer, "SECONDS_PER_ANSWER", 1)

    class Evaluator:
        def evaluate(self, sample_id, model_output):
            return eval(model_output)

    def fail(error):
        raise error

    def hang():
        while True:
            pass

    Evaluator.evaluate.__globals__.update(fail=fail, hang=hang)
    return {"Evaluator": Evaluator, "get_api_call": lambda text: hang() if text == "hang" else text, "file": "f.jsonl"}


@pytest.mark.parametrize(
    ("output", "verdict"),
    [("(True, {})", True), ("(False, {})", "wrong_call"), ("(False, 'API Name Mismatch: a')", "wrong_function")],
)
def test_verdicts_are_kept(namespace, output, verdict):
    verdicts = []
    record_verdicts(namespace, verdicts)
    assert namespace["Evaluator"]().evaluate(4, output) == eval(output)
    assert verdicts == [["f.jsonl", 4, verdict]]


@pytest.mark.parametrize(
    ("output", "verdict", "message"),
    [
        ("fail(Exception('Parse API Call Error: x'))", "malformed_call", "Parse API Call Error: x"),
        ("fail(AssertionError('invalid parameter name. parameter: x'))", "unexpected_argument", "invalid parameter"),
        ("fail(TypeError('missing 1 required positional argument'))", "missing_argument", "missing 1 required"),
        ("fail(KeyError('x'))", "scorer_error: KeyError", "Parse API Call Error: scorer_error: KeyError"),
        ("fail(AssertionError('invalid parameter type'))", "scorer_error: AssertionError", "Parse API Call Error"),
        ("(False, None)", "scorer_error: TypeError", "Parse API Call Error"),
        ("hang()", "scorer_error: TimeoutError", "Parse API Call Error"),
    ],
)
def test_an_answer_that_ends_the_script_is_wrong_instead(namespace, output, verdict, message):
    verdicts = []
    record_verdicts(namespace, verdicts)
    with pytest.raises(Exception, match=message):
        namespace["Evaluator"]().evaluate(0, output)
    assert verdicts == [["f.jsonl", 0, verdict]]


def test_a_search_that_takes_too_long_finds_no_call(namespace):
    record_verdicts(namespace, [])
    assert namespace["get_api_call"]("x") == "x"
    assert namespace["get_api_call"]("hang") is None
