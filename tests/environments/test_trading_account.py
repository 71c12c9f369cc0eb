"""The trading account does what its tools say."""

import json

import pytest

from egpo_trl.environments import TradingAccount
from egpo_trl.environments.protocol import MAX_ITEMS

STATE = {
    "account": {"cash": 100}, "companies": {"Acme": "AC", "Beta": "BE"}, "prices": {"AC": 30, "BE": 7},
    "holdings": {"BE": 4}, "orders": {"7": {"symbol": "AC", "shares": 1}, "3": {"symbol": "AC", "shares": 2}},
}  # fmt: skip


@pytest.fixture
def account():
    environment = TradingAccount()
    environment.reset(initial_state=json.dumps(STATE))
    return environment


def test_looking_up(account):
    assert json.loads(account.find_symbol("Acme")) == {"symbol": "AC"}
    assert json.loads(account.get_price("BE")) == {"price": 7}
    assert json.loads(account.get_holding("BE")) == {"shares": 4}
    assert json.loads(account.get_holding("AC")) == {"shares": 0}
    assert json.loads(account.find_order("AC")) == {"order": 3}
    assert account.state == STATE


def test_trading(account):
    assert json.loads(account.buy("AC", 2)) == {"bought": 2}
    assert json.loads(account.sell("BE", 4)) == {"sold": 4}
    assert account.state["account"] == {"cash": 100 - 60 + 28}
    assert account.state["holdings"] == {"AC": 2, "BE": 0}


def test_orders(account):
    assert json.loads(account.place_order("BE", 5)) == {"order": 8}
    assert json.loads(account.cancel_order(3)) == {"cancelled": 3}
    assert account.state["orders"] == {"7": {"symbol": "AC", "shares": 1}, "8": {"symbol": "BE", "shares": 5}}
    for _ in range(MAX_ITEMS):
        answer = account.place_order("BE", 1)
    assert json.loads(answer) == {"error": "too many orders"}


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("find_symbol", ["Gamma"], "no such company"),
        ("get_price", ["XX"], "no such symbol"),
        ("get_holding", ["XX"], "no such symbol"),
        ("buy", ["AC", 4], "not enough cash"),
        ("buy", ["AC", 0], "no such number of shares"),
        ("buy", ["AC", -1], "no such number of shares"),
        ("buy", ["AC", 10**20], "no such number of shares"),
        ("sell", ["BE", 5], "not enough shares"),
        ("sell", ["AC", 1], "not enough shares"),
        ("place_order", ["XX", 1], "no such symbol"),
        ("find_order", ["BE"], "no such order"),
        ("cancel_order", [4], "no such order"),
    ],
)
def test_errors_change_nothing(account, tool, arguments, error):
    assert json.loads(getattr(account, tool)(*arguments)) == {"error": error}
    assert account.state == STATE


@pytest.mark.parametrize(
    "broken",
    [
        {"account": {"cash": -1}}, {"account": {"cash": 1.5}}, {"prices": {"AC": True}}, {"holdings": {"AC": "3"}},
        {"orders": {"x": {"symbol": "AC", "shares": 1}}}, {"orders": {"1": {"symbol": "AC"}}},
        {"orders": {"1": {"symbol": "AC", "shares": 10**10}}}, {"companies": {"Acme": 3}},
        {"orders": {"1": {"symbol": 3, "shares": 1}}},
    ],
)  # fmt: skip
def test_a_broken_account_is_refused(broken):
    with pytest.raises(ValueError, match="initial_state"):
        TradingAccount().reset(initial_state=json.dumps(broken))
