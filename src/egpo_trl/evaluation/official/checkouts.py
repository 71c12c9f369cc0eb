"""Opens checkouts of benchmark repositories, and says whether they are as tested."""

import hashlib
import json
import logging
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_MAX_NAMED = 5  # changed files that a warning names one by one


@dataclass(frozen=True)
class Repository:
    """A repository whose code and data a suite runs."""

    name: str
    address: str
    commit: str
    folder: str = "."

    @property
    def remedy(self) -> str:
        return (
            f"Get {self.name} with\n"
            f"  git clone {self.address} && git -C {self.address.rsplit('/', 1)[1]} checkout {self.commit}\n"
            "(the commit that this was tested with) and give its "
            + ("path" if self.folder == "." else f"folder {self.folder}")
            + " as --repo."
        )


@dataclass(frozen=True)
class Checkout:
    """An inspected checkout."""

    path: Path
    commit: str | None
    changed: Mapping[str, str]


def open_checkout(path: str | None, repository: Repository, checksums: Mapping[str, str]) -> Checkout:
    """Inspect a checkout before it is used."""
    if not path:
        raise ValueError(f"--repo is missing. {repository.remedy}")
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"--repo: {path!r} is not a folder. {repository.remedy}")
    first = next(iter(checksums))
    if not (folder / first).exists() and (folder / repository.folder / first).exists():
        folder = folder / repository.folder
    missing = [name for name in checksums if not (folder / name).exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"--repo: {path!r} lacks {missing[0]!r}{more}. {repository.remedy}")
    found = {name: checksum(folder / name) for name in checksums}
    changed = {name: digest for name, digest in found.items() if digest != checksums[name]}
    checkout = Checkout(folder, _commit(folder), changed)
    elsewhere = checkout.commit is not None and checkout.commit != repository.commit
    if changed or elsewhere:
        named = [f"{name} (sha256 {digest})" for name, digest in list(changed.items())[:_MAX_NAMED]]
        named += [f"and {len(changed) - _MAX_NAMED} more"] if len(changed) > _MAX_NAMED else []
        told = (
            f"Not as tested: {', '.join(named)}. Scores may not compare."
            if changed
            else "The files that are used are the same."
        )
        commit = checkout.commit or "unknown"
        logger.warning(
            "The checkout of %s is at commit %s, and was tested at %s. %s",
            repository.name,
            commit,
            repository.commit,
            told,
        )
    return checkout


def read_checksums(package: str) -> dict[str, str]:
    checksums: dict[str, str] = json.loads((files(package) / "checksums.json").read_text(encoding="utf-8"))
    return checksums


def checksum(path: Path) -> str:
    """SHA-256 of a file, or of all files below a folder with their names; line ends count as one character."""
    digest = hashlib.sha256()
    below = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    for name, file in below or [("", path)]:
        if not name.endswith(".pyc"):
            content = file.read_bytes().replace(b"\r\n", b"\n") if file.is_file() else b""
            digest.update(f"{name}\n{len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def _commit(folder: Path) -> str | None:
    """Commit of the work tree that a folder is in; `None` without git, or where the folder is not git's."""
    command = ["git", "-C", str(folder), "ls-files", "--error-unmatch", "."]
    try:
        tracked = subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
        if not tracked:
            return None
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, timeout=20, check=True, text=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a file with one on each line."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: {error}. Restore the file from the repository.") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: must be an object. Restore the file from the repository.")
        rows.append(row)
    return rows
