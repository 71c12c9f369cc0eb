"""The ticket desk does what its tools say."""

import json

import pytest

from egpo_trl.environments import TicketDesk


def ticket(customer, status="open"):
    return {"customer": customer, "status": status, "priority": "normal", "agent": ""}


@pytest.fixture
def desk():
    environment = TicketDesk()
    tickets = {"12": ticket("Ada"), "9": ticket("Ada"), "4": ticket("Ben", "closed")}
    environment.reset(initial_state=json.dumps({"tickets": tickets, "agents": {"login": "Olga"}}))
    return environment


def test_looking_up(desk):
    before = desk.state
    assert json.loads(desk.find_ticket("Ada")) == {"ticket": 9}
    assert json.loads(desk.get_ticket(4)) == ticket("Ben", "closed")
    assert json.loads(desk.find_agent("login")) == {"agent": "Olga"}
    assert desk.state == before


def test_working(desk):
    assert json.loads(desk.set_priority(9, "high")) == {"priority": "high"}
    assert json.loads(desk.assign_ticket(9, "Olga")) == {"assigned": "Olga"}
    assert json.loads(desk.close_ticket(9)) == {"closed": 9}
    assert desk.state["tickets"]["9"] == {"customer": "Ada", "status": "closed", "priority": "high", "agent": "Olga"}
    assert desk.state["tickets"]["12"] == ticket("Ada")
    assert json.loads(desk.find_ticket("Ada")) == {"ticket": 12}


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("find_ticket", ["Ben"], "no such ticket"),
        ("get_ticket", [1], "no such ticket"),
        ("find_agent", ["cooking"], "no such agent"),
        ("close_ticket", [4], "the ticket is closed"),
        ("close_ticket", [10**5000], "Exceeds the limit"),
        ("set_priority", [9, "urgent"], "no such priority"),
        ("assign_ticket", [9, "Nobody"], "no such agent"),
        ("assign_ticket", [1, "Olga"], "no such ticket"),
    ],
)
def test_errors_change_nothing(desk, tool, arguments, error):
    before = desk.state
    assert json.loads(getattr(desk, tool)(*arguments))["error"].startswith(error)
    assert desk.state == before


@pytest.mark.parametrize("broken", [{"x": ticket("Ada")}, {"1": {}}, {"1": "Ada"}, {"1": ticket(5)}])
def test_a_broken_ticket_is_refused(broken):
    with pytest.raises(ValueError, match="ticket"):
        TicketDesk().reset(initial_state=json.dumps({"tickets": broken}))


def test_a_broken_agent_is_refused():
    with pytest.raises(ValueError, match="agents"):
        TicketDesk().reset(initial_state='{"agents": {"login": 3}}')
