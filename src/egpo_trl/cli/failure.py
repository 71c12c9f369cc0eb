"""Ends a command with one message and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

TRACKERS = (
    "wandb",
    "trackio",
    "mlflow",
    "comet_ml",
    "neptune",
    "clearml",
    "swanlab",
)  # that raise errors of their own
BAD_DATA, WRONG_USAGE, INTERRUPTED = 1, 2, 130


class Failure(SystemExit):
    """A message for the user, printed by [`main`], and the exit code of the command."""

    def __init__(self, message: str, code: int = BAD_DATA) -> None:
        super().__init__(message)
        self.code = code


def told(error: BaseException) -> str:
    """The words of an error, or its kind where it has none; of a failure inside an error handler, the first one's."""
    if isinstance(error, AttributeError) and isinstance(error.__context__, ValueError | TypeError | ImportError):
        error = error.__context__
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the package {error.name!r} is missing: pip install {error.name}."
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    words = str(error).strip() or type(error).__name__
    if _is_of_weights(error):
        return f"a file of weights is incomplete or damaged: {words}. Copy or download the model again."
    return f"missing key {words}" if isinstance(error, KeyError) else words


@contextmanager
def one_message(command: str, log_level: str | None = None) -> Iterator[None]:
    """Turn an error of the input, the disk or a missing package into one message; at log level `debug` it stays."""
    from jinja2 import TemplateError

    try:
        yield
    except Exception as error:
        kinds = (ValueError, OSError, ImportError, TemplateError)
        if log_level == "debug" or not (isinstance(error, kinds) or _is_of_the_input(error)):
            raise
        words = (
            f"the chat template refuses the rows: {told(error)}" if isinstance(error, TemplateError) else told(error)
        )
        raise Failure(f"egpo-trl {command}: {words}") from error


def _is_of_the_input(error: Exception) -> bool:
    """Whether an error of a library says what to install or to set, or comes from a tracker or the packaged samplers."""
    package = type(error).__module__.partition(".")[0]
    says = isinstance(error, RuntimeError) and any(words in str(error) for words in ("installed", "should be one of"))
    return says or package in ("egpo_trl", *TRACKERS) or _is_of_weights(error)


def _is_of_weights(error: BaseException) -> bool:
    return type(error).__name__ == "SafetensorError"
