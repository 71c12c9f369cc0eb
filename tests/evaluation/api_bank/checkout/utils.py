"""Stand-in of the tests: imports what the official clients import."""

from tenacity import retry, stop_after_attempt


@retry(stop=stop_after_attempt(2))
def client():
    return "client"


CLIENTS = (client,)
