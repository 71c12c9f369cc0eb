"""How an endpoint fails: for now, for this request, or for every request."""


class JudgeError(RuntimeError):
    """A question that the judge did not answer."""


class TransientJudgeError(JudgeError):
    """
    A failure that may pass: a rate limit, an error of the server, a time-out, a broken body.

    Args:
        message (`str`):
            What happened.
        retry_after (`float`, *optional*):
            Seconds that the server asks to wait.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RejectedQuestion(JudgeError):
    """The judge will not take this question, for instance because it is too long."""


class JudgeUnavailable(JudgeError):
    """The judge will not take any question: wrong key, unknown model, no such address."""
