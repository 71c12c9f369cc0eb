"""Runs a benchmark's own scoring code, from a user's checkout, in a restricted process."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

VERDICTS = "verdicts.json"  # where our scorer modules write what they recorded
MAX_FILE_BYTES = 256 * 1024**2  # of a score file or spreadsheet
UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in JSON, or in a spreadsheet
_TAIL = 1500  # characters of the process's output that an error quotes
_KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "LD_LIBRARY_PATH")  # of the environment: no tokens, no proxies
Scores = TypeVar("Scores")


class ScorerFailed(ValueError):
    """The scoring process crashed, ran out of its time, or wrote what cannot be read."""


def clean_environment(folder: str | Path) -> dict[str, str]:
    """The environment of a process that runs official code with `folder` as its home: our package, and no tokens."""
    paths = (str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH"))
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }


def run_scorer(module: str, arguments: Sequence[str], folder: Path, timeout_s: float) -> None:
    """Run one of our scorer modules, which restricts itself, in a process without tokens that ends after `timeout_s`."""
    command = [sys.executable, "-s", "-P", "-X", "utf8", "-m", module, *arguments]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, env=clean_environment(folder), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
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


def score_in_copy(
    write: Callable[[Path], None],
    module: str,
    arguments: Sequence[str],
    read: Callable[[Path], Scores],
    timeout_s: float,
    keep: tuple[Path, Sequence[str]] | None = None,
) -> Scores:
    """Run a scorer in a copy that `write` makes of a checkout, and `read` its files; `keep` names a folder for some."""
    with tempfile.TemporaryDirectory(prefix="egpo-trl-") as parent:
        folder = Path(parent, "checkout")  # official code may also write next to its own folder
        write(folder)
        run_scorer(module, arguments, folder, timeout_s)
        try:
            scores = read(folder)
        except Exception as error:  # the files may be anything, and a broken workbook raises anything
            raise ScorerFailed(
                f"the official scorer's files cannot be read: {type(error).__name__}: {error}"
            ) from None
        kept_in, names = keep or (folder, ())
        for name in names:
            place = kept_in / name
            if (folder / name).is_dir():
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(folder / name, place)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, place)
    return scores


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
