"""Runs official code in a separate process, which ends when an answer takes too long."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from typing import Any

from ..official.process import clean_environment
from ..official.restrict import MAX_MEMORY
from .package import package_folder

MAX_CPU_SECONDS = 20
_START_SECONDS = 300.0
_MAX_ANSWER = 256 * 1024**2


class SandboxFailure(RuntimeError):
    """A request that ended the process: `reason` is `"timeout"`, `"crash"` or `"too_large"`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}{f': {detail}' if detail else ''}")
        self.reason = reason


class OfficialError(RuntimeError):
    """An exception of official code, with its type and message."""


class Sandbox:
    """Runs official code in a restricted process, which starts with the first request and again after it ended."""

    def __init__(self, handler: str, max_cpu_seconds: int = MAX_CPU_SECONDS, max_memory: int = MAX_MEMORY) -> None:
        package_folder()
        self.handler = handler
        self.max_cpu_seconds = max_cpu_seconds
        self.max_memory = max_memory
        self.protections: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._errors: Any = None
        self._pending = bytearray()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, do: str, **arguments: Any) -> Any:
        """Have a method of [`~egpo_trl.evaluation.bfcl.worker.Official`] called."""
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failure("crash") from None
        answer = self._answer(10.0 * self.max_cpu_seconds)
        if "error" in answer:
            raise OfficialError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._errors):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bfcl-")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        arguments = (self.handler, self._folder.name, str(self.max_memory), str(self.max_cpu_seconds))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", "-m", "egpo_trl.evaluation.bfcl.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._folder.name,
            env=clean_environment(self._folder.name),
            start_new_session=True,
        )
        self._pending.clear()
        try:
            self.protections = tuple(self._answer(_START_SECONDS)["value"])
        except SandboxFailure as failure:
            raise ValueError(f"the official code of BFCL does not start: {failure}") from None

    def _answer(self, seconds: float) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise self._failure("timeout")
                read = os.read(self._process.stdout.fileno(), 1 << 16)
                if not read:
                    raise self._failure("crash")
                self._pending += read
                if len(self._pending) > _MAX_ANSWER:
                    raise self._failure("too_large")
        line, _, rest = bytes(self._pending).partition(b"\n")
        self._pending = bytearray(rest)
        return json.loads(line)

    def _failure(self, reason: str) -> SandboxFailure:
        """End the process; what it said last is the detail."""
        process = self._process
        assert process is not None
        if reason == "crash":
            process.wait()
            if process.returncode == -24:  # SIGXCPU
                reason = "timeout"
        self._errors.seek(0)
        said = self._errors.read()[-2000:].decode(errors="replace").strip()
        self.close()
        return SandboxFailure(reason, said[-400:] if reason == "crash" else "")
