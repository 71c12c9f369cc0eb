"""Rollouts in the terminal: which ones, in which order, and what is shown of them."""

import re

import pytest

from egpo_trl.cli import main

from .runs import make_full_run, make_run, sample


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(make_full_run(tmp_path_factory.mktemp("runs") / "first"))


CHOICES = [
    ("", 5, 32),
    ("--count 100", 32, 32),
    ("--reason correct --count 100", 16, 16),
    ("--when training --count 100", 16, 16),
    ("--when before --count 100", 8, 8),
    ("--when 11", 4, 4),
    ("--when 11 --reason correct", 2, 2),
    ("--text RESULT3 --count 2", 2, 4),
]


@pytest.mark.parametrize(("words", "shown", "found"), CHOICES)
def test_choices(run, words, shown, found, capsys):
    main(["rollouts", run, *words.split()])
    text = capsys.readouterr().out
    assert text.count("Request: ") == shown
    assert f"{shown} of {found} rollouts" in text


@pytest.mark.parametrize("sort", ["lowest-reward", "highest-reward", "lowest-entropy", "highest-entropy"])
def test_orders(run, sort, capsys):
    order, name = sort.split("-")
    main(["rollouts", run, "--sort", sort, "--count", "100"])
    values = [float(value) for value in re.findall(rf"{name} (-?[\d.]+)", capsys.readouterr().out)]
    assert len(values) == 32
    assert values == sorted(values, reverse=order == "highest")


def test_a_rollout_with_its_turns(run, capsys):
    main(["rollouts", run, "--when", "31", "--text", "plan3"])
    text = capsys.readouterr().out
    assert text.index("✗ missing_call  step 31  reward 0.00  advantage 1.50") < text.index("Request: ask 31")
    for words in ("<think>plan3 then</think>\n[f(x=3)]\nresult3\ndone\n", "Reference: []"):
        assert words in text


def test_what_a_model_writes_moves_no_cursor(tmp_path, capsys):
    evil = "\x1b[2J\x1b]0;title\x07\u202e[bold]a[/bold]\r"
    make_run(tmp_path / "run", [sample(evil, request=evil)])
    main(["rollouts", str(tmp_path / "run")])
    text = capsys.readouterr().out
    assert "[bold]a[/bold]" in text
    assert not set("\x1b\x07\u202e\r") & set(text)


WRONG = [
    ("--reason nothing", 1, "no rollout has reason 'nothing'. There are: wrong_value, correct, missing_call."),
    ("--when 12", 1, "There are: before, after, 1, 11, 21, 31."),
    ("--sort reward", 2, "invalid choice"),
    ("--count x", 2, "not a whole number"),
]


@pytest.mark.parametrize(("words", "code", "message"), WRONG)
def test_wrong_choices(run, words, code, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["rollouts", run, *words.split()])
    assert ended.value.code == code
    assert message in capsys.readouterr().err


def test_a_run_without_rollouts(tmp_path):
    with pytest.raises(SystemExit, match="holds no rollouts"):
        main(["rollouts", str(make_run(tmp_path / "run"))])
