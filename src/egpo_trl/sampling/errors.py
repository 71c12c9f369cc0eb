"""Defines the errors of an endpoint: for now, for one request, or for every request."""


class EndpointError(RuntimeError):
    """A request that an endpoint did not answer: an error of the server, a time-out, a broken body."""


class RejectedRequest(EndpointError):
    """The endpoint will not take this request, for instance because it is too long."""


class EndpointUnavailable(EndpointError):
    """The endpoint will not take any request: wrong key, unknown model, no such address, too many requests."""


class BudgetSpent(RuntimeError):
    """The budget leaves no further request."""
