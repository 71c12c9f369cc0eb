"""Restricts the process of official code as far as the operating system can."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

MAX_MEMORY = 4 * 1024**3
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # of unshare(2)
_FORBIDDEN = (
    "subprocess.", "socket.", "ctypes.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.kill", "os.chmod", "os.chown", "os.link", "os.symlink", "os.rename", "os.remove", "os.rmdir", "os.truncate",
    "shutil.", "urllib.", "http.", "ftplib.", "smtplib.", "signal.",
)  # fmt: skip
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def restrict(
    folder: Path, max_memory: int = MAX_MEMORY, *, max_file_bytes: int = 0, may_remove: bool = False
) -> list[str]:
    """Give up network, processes, writing elsewhere and memory: protection from hostile text, not from hostile code."""
    done = []
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NETWORK) == 0:
        done.append("network")
    if _set_limits(max_memory, max_file_bytes):
        done.append("limits")
    root = os.path.realpath(folder)

    def within(path: Any) -> bool:
        return isinstance(path, (str, bytes)) and f"{os.path.realpath(os.fsdecode(path))}{os.sep}".startswith(
            f"{root}{os.sep}"
        )

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITE_FLAGS and not isinstance(path, int) and not within(path):
                raise PermissionError("writing outside the working folder is not allowed here")
        elif event == "os.mkdir":
            if not within(arguments[0]):
                raise PermissionError("making folders outside the working folder is not allowed here")
        elif event == "os.remove" and may_remove:
            path, folder_descriptor = arguments
            if folder_descriptor != -1 or not within(path):
                raise PermissionError("removing files outside the working folder is not allowed here")
        elif event.startswith(_FORBIDDEN):
            raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(refuse)
    return [*done, "audit"]


def _set_limits(max_memory: int, max_file_bytes: int) -> bool:
    """Whether all limits could be set; macOS refuses some."""
    if sys.platform == "win32":
        return False
    import resource

    are_set = True
    limits = (
        (resource.RLIMIT_AS, max_memory),
        (resource.RLIMIT_FSIZE, max_file_bytes),
        (resource.RLIMIT_CORE, 0),
    )
    for limit, value in limits:
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):
            are_set = False
    return are_set


def limit_cpu(seconds: int) -> None:
    """Let the system end this process once it has used that many more seconds of CPU time."""
    if sys.platform != "win32":
        import resource
        import time

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, hard))
