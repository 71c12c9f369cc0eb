"""What stands where the official code calls `eval`: the same values, and nothing that does harm."""

import pytest

from egpo_trl.evaluation.bfcl.evaluator import MAX_CHARACTERS, evaluate


class Shop:
    price = 3

    def buy(self, *items, **options):
        return items, options

    def double(self, x):
        return 2 * x

    def _secret(self):
        return "secret"


SHOP = {"shop": Shop()}


@pytest.mark.parametrize(
    "source",
    [
        "1", "-1.5", "+2", "'a' 'b'", "b'x'", "None", "True", "...", "[1, (2, 3), {4}, {'k': [5]}]", "{}", "()", "1 + 2 * 3",
        "2 ** 10", "7 // 2 % 2", "1 + 2j", "'a' * 3", "shop.buy()", "shop.buy(1, [2], x={'y': None}, z=-1)",
        "shop.double(shop.double(x=4))", " shop.double(1) ",
    ],
)  # fmt: skip
def test_values_are_those_of_eval(source):
    assert evaluate(source, SHOP) == eval(source, dict(SHOP))


@pytest.mark.parametrize(
    "source",
    [
        "cat(x=1)",
        "cat.dog(1)",
        "nan",
        "shop.buy(missing)",
        "open('/etc/passwd')",
        "print(1)",
        "__import__('os')",
        "shop",
    ],
)
def test_any_other_name_is_an_error_as_for_a_name_that_nothing_has(source):
    name = source.split("(")[0].split(".")[0] if "missing" not in source else "missing"
    with pytest.raises(NameError, match=f"name '{name}' is not defined"):
        evaluate(source, SHOP)


@pytest.mark.parametrize(
    "source",
    [
        "shop._secret()", "shop.buy.__self__", "shop.price()", "shop.price", "shop.buy(*[1])", "shop.buy(**{'a': 1})",
        "(lambda: 1)()", "lambda: 1", "[x for x in [1]]", "1 if True else 2", "True or 1", "not 1", "1 < 2", "f'{1}'",
        "shop.buy()[0]", "shop.buy().append(1)", "(x := 1)", "{**{}}", "1 << 200000000", "''.join([])", "1 & 1",
        "().__class__", "'x'.format()", "shop.double.__call__(1)",
    ],
)  # fmt: skip
def test_anything_else_is_refused(source):
    with pytest.raises(ValueError, match=r"is not evaluated here|only functions of the simulated interfaces"):
        evaluate(source, SHOP)


def test_sources_that_are_no_expression():
    for source in ("", "shop.buy(", "import os", "x = 1", "shop.buy(class=1)", "a b"):
        with pytest.raises(SyntaxError):
            evaluate(source, SHOP)
    with pytest.raises(ValueError, match="characters are not evaluated"):
        evaluate("1" * (MAX_CHARACTERS + 1), SHOP)
    with pytest.raises((SyntaxError, RecursionError, MemoryError)):
        evaluate("[" * 50_000, SHOP)
