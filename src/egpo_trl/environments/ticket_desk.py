"""A desk that works on the tickets of customers."""

import copy
from typing import Any

from .protocol import check_texts, load_state, look_up, reports_errors

PRIORITIES = ("low", "normal", "high")
_FIELDS = {"customer", "status", "priority", "agent"}


class TicketDesk:
    """
    Tickets of customers, and the agents who know about topics.

    Its state is `{"tickets": {id: {"customer", "status", "priority", "agent"}}, "agents": {topic: agent}}`, where ids are
    numbers written as strings, a status is `"open"` or `"closed"`, and an agent is `""` where the ticket is not assigned.
    """

    def __init__(self) -> None:
        self._tickets: dict[str, dict[str, str]] = {}
        self._agents: dict[str, str] = {}

    def reset(self, initial_state: str | None = None, **_: Any) -> None:
        """Start from the state in a row, JSON; raises `ValueError` if it is malformed."""
        value = load_state(initial_state, ("tickets", "agents"))
        for ticket_id, ticket in value["tickets"].items():
            if not ticket_id.isdecimal() or not isinstance(ticket, dict) or ticket.keys() != _FIELDS:
                raise ValueError(f"initial_state: ticket {ticket_id!r} must have a number and {sorted(_FIELDS)}")
            check_texts(ticket, f"ticket {ticket_id!r}")
        check_texts(value["agents"], "agents")
        self._tickets, self._agents = value["tickets"], value["agents"]

    @property
    def state(self) -> dict[str, Any]:
        return {"tickets": copy.deepcopy(self._tickets), "agents": dict(self._agents)}

    @reports_errors
    def find_ticket(self, customer: str) -> Any:
        """
        Find the open ticket of a customer, the one with the lowest number.

        Args:
            customer: Name of the customer.
        """
        for ticket_id in sorted(self._tickets, key=int):
            ticket = self._tickets[ticket_id]
            if ticket["customer"] == customer and ticket["status"] == "open":
                return {"ticket": int(ticket_id)}
        raise ValueError("no such ticket")

    @reports_errors
    def get_ticket(self, ticket: int) -> Any:
        """
        Show customer, status, priority and agent of a ticket.

        Args:
            ticket: Number of the ticket.
        """
        return dict(self._get(ticket))

    @reports_errors
    def find_agent(self, topic: str) -> Any:
        """
        Find the agent who knows about a topic.

        Args:
            topic: Topic.
        """
        return {"agent": look_up(self._agents, topic, "agent")}

    @reports_errors
    def close_ticket(self, ticket: int) -> Any:
        """
        Close a ticket.

        Args:
            ticket: Number of the ticket.
        """
        self._open(ticket)["status"] = "closed"
        return {"closed": ticket}

    @reports_errors
    def set_priority(self, ticket: int, priority: str) -> Any:
        """
        Set the priority of an open ticket.

        Args:
            ticket: Number of the ticket.
            priority: New priority. (choices: ["low", "normal", "high"])
        """
        if priority not in PRIORITIES:
            raise ValueError("no such priority")
        self._open(ticket)["priority"] = priority
        return {"priority": priority}

    @reports_errors
    def assign_ticket(self, ticket: int, agent: str) -> Any:
        """
        Give an open ticket to an agent.

        Args:
            ticket: Number of the ticket.
            agent: Name of the agent.
        """
        if agent not in self._agents.values():
            raise ValueError("no such agent")
        self._open(ticket)["agent"] = agent
        return {"assigned": agent}

    def _get(self, ticket: int) -> dict[str, str]:
        found: dict[str, str] = look_up(self._tickets, str(ticket), "ticket")
        return found

    def _open(self, ticket: int) -> dict[str, str]:
        found = self._get(ticket)
        if found["status"] != "open":
            raise ValueError("the ticket is closed")
        return found
