"""Runs a benchmark's own scoring code, from a user's checkout, in a restricted process."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MAX_FILE_BYTES = 256 * 1024**2  # of a score file or spreadsheet
UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in JSON, or in a spreadsheet
_TAIL = 1500  # characters of the process's output that an error quotes
_KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "LD_LIBRARY_PATH")  # of the environment: no tokens, no proxies
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ScorerFailed(ValueError):
    """The scoring process crashed, ran out of its time, or wrote what cannot be read."""


def run_scorer(module: str, arguments: Sequence[str], folder: Path, timeout_s: float) -> None:
    """
    Run one of our scorer modules in a process of its own.

    The process sees an environment without tokens, ends with all its children after `timeout_s`, and the module is
    expected to call [`~egpo_trl.evaluation.official.restrict.restrict`] before it runs anything of a checkout.
    """
    command = [sys.executable, "-s", "-P", "-X", "utf8", "-m", module, *arguments]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= dict.fromkeys(_THREADS, "1")
    environment |= {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ScorerFailed(f"the official scorer did not end within {timeout_s:g} s.") from None
        finally:
            _kill(process)
        if code != 0:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - 4 * _TAIL))
            tail = output.read().decode("utf-8", "replace")[-_TAIL:].strip()
            ended = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
            raise ScorerFailed(f"the official scorer {ended}. The end of its output:\n{tail or '(nothing)'}")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
