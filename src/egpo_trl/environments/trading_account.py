"""A trading account with cash, shares and standing orders."""

import copy
from typing import Any

from .protocol import MAX_ITEMS, check_texts, load_state, look_up, reports_errors

MAX_AMOUNT = 10**9


class TradingAccount:
    """
    Cash, shares and standing orders of one customer, at fixed prices.

    Its state is `{"account": {"cash": …}, "companies": {name: symbol}, "prices": {symbol: price}, "holdings": {symbol:
    shares}, "orders": {id: {"symbol", "shares"}}}`, where amounts are integers and ids are numbers written as strings.
    """

    _KEYS = ("account", "companies", "prices", "holdings", "orders")

    def __init__(self) -> None:
        self._state: dict[str, Any] = {key: {} for key in self._KEYS}

    def reset(self, initial_state: str | None = None, **_: Any) -> None:
        """Start from the state in a row, JSON; raises `ValueError` if it is malformed."""
        value = load_state(initial_state, self._KEYS)
        orders = value["orders"]
        for order_id, order in orders.items():
            if not order_id.isdecimal() or not isinstance(order, dict) or order.keys() != {"symbol", "shares"}:
                raise ValueError(f"initial_state: order {order_id!r} must have a number, 'symbol' and 'shares'")
            check_texts({"symbol": order["symbol"]}, f"order {order_id!r}")
        check_texts(value["companies"], "companies")
        value["account"] = {"cash": value["account"].get("cash", 0)}
        shares = [order["shares"] for order in orders.values()]
        amounts = [*value["account"].values(), *value["prices"].values(), *value["holdings"].values(), *shares]
        if not all(type(amount) is int and 0 <= amount <= MAX_AMOUNT for amount in amounts):
            raise ValueError(f"initial_state: amounts must be integers from 0 to {MAX_AMOUNT}")
        self._state = value

    @property
    def state(self) -> dict[str, Any]:
        return copy.deepcopy(self._state)

    @reports_errors
    def find_symbol(self, company: str) -> Any:
        """
        Find the symbol of a company.

        Args:
            company: Name of the company.
        """
        return {"symbol": look_up(self._state["companies"], company, "company")}

    @reports_errors
    def get_price(self, symbol: str) -> Any:
        """
        Get the price of a share.

        Args:
            symbol: Symbol of the company.
        """
        return {"price": self._price(symbol)}

    @reports_errors
    def get_holding(self, symbol: str) -> Any:
        """
        Get how many shares of a company the account holds.

        Args:
            symbol: Symbol of the company.
        """
        self._price(symbol)
        return {"shares": self._state["holdings"].get(symbol, 0)}

    @reports_errors
    def buy(self, symbol: str, shares: int) -> Any:
        """
        Buy shares at the current price.

        Args:
            symbol: Symbol of the company.
            shares: Number of shares.
        """
        cost = self._price(symbol) * self._count(shares)
        if cost > self._state["account"]["cash"]:
            raise ValueError("not enough cash")
        self._state["account"]["cash"] -= cost
        self._state["holdings"][symbol] = self._state["holdings"].get(symbol, 0) + shares
        return {"bought": shares}

    @reports_errors
    def sell(self, symbol: str, shares: int) -> Any:
        """
        Sell shares at the current price.

        Args:
            symbol: Symbol of the company.
            shares: Number of shares.
        """
        price, held = self._price(symbol), self._state["holdings"].get(symbol, 0)
        if self._count(shares) > held:
            raise ValueError("not enough shares")
        self._state["account"]["cash"] += price * shares
        self._state["holdings"][symbol] = held - shares
        return {"sold": shares}

    @reports_errors
    def place_order(self, symbol: str, shares: int) -> Any:
        """
        Leave a standing order to buy shares, which gets a number.

        Args:
            symbol: Symbol of the company.
            shares: Number of shares.
        """
        self._price(symbol)
        orders = self._state["orders"]
        if len(orders) >= MAX_ITEMS:
            raise ValueError("too many orders")
        order_id = max(map(int, orders), default=0) + 1
        orders[str(order_id)] = {"symbol": symbol, "shares": self._count(shares)}
        return {"order": order_id}

    @reports_errors
    def find_order(self, symbol: str) -> Any:
        """
        Find the standing order for a company, the one with the lowest number.

        Args:
            symbol: Symbol of the company.
        """
        orders = self._state["orders"]
        found = [int(order_id) for order_id, order in orders.items() if order["symbol"] == symbol]
        if not found:
            raise ValueError("no such order")
        return {"order": min(found)}

    @reports_errors
    def cancel_order(self, order: int) -> Any:
        """
        Cancel a standing order.

        Args:
            order: Number of the order.
        """
        look_up(self._state["orders"], str(order), "order")
        del self._state["orders"][str(order)]
        return {"cancelled": order}

    def _price(self, symbol: str) -> int:
        return int(look_up(self._state["prices"], symbol, "symbol"))

    @staticmethod
    def _count(shares: int) -> int:
        if not 0 < shares <= MAX_AMOUNT:
            raise ValueError("no such number of shares")
        return shares
