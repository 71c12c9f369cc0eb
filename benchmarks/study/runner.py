"""Runs what is missing of the study, each run in a process of its own, and survives being killed."""

import fcntl
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from egpo_trl.utils.files import write_json

from .design import BASE, ROOT, SUPERVISED
from .order import Run, base_of, chosen_value, known_runs, total_runs, waiting_runs
from .store import Store

RESULTS = ROOT / "benchmarks" / "study" / "results"
WORK = ROOT / "benchmarks" / "study" / "work"
BUSY = 75  # exit status of a process whose run another process has
STOP = 76  # of one that says that no run can start
TRIES = 2
PAUSE = 2.0  # seconds between looks at the processes


def commit() -> str:
    """The commit of the code; an error where a tracked file other than the results differs from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks", "scripts")
    changed = [line for line in changed.splitlines() if "benchmarks/study/results/" not in line]
    if changed:
        raise SystemExit(f"study: commit your changes first, each row names its commit: {changed}")
    return _git("rev-parse", "--short=10", "HEAD").strip()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def check_commit(store: Store, now: str) -> None:
    """All runs of a task use one commit."""
    others = {f"{row['task']} {row['commit']}" for row in store.rows().values() if row["commit"] != now}
    if others:
        raise SystemExit(
            f"study: this is commit {now}, but there are runs of {sorted(others)}. Check out that commit."
        )


def machine() -> str:
    """Processor and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> str:
    """Versions of what computes the results."""
    names = ("torch", "transformers", "trl")
    return " ".join(
        [f"python {platform.python_version()}", *(f"{name} {importlib.metadata.version(name)}" for name in names)]
    )


# One run, in its own process


def do_one(run: Run, rate: float, sft_seconds: float, store: Store, train: Callable[..., Any]) -> int:
    """Do a run unless another process does it, and leave its result as one whole file."""
    file = store.file_of(run.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        if file.is_file():
            return 0
        now, begin = commit(), time.monotonic()
        metrics, curves = train(run, rate, sft_seconds, store.work)
        used = run.value if run.arm == SUPERVISED else rate
        row = {"run": run.name, **asdict(run), "learning_rate": used, **metrics}
        row |= {"wall_seconds": round(time.monotonic() - begin, 1), "commit": now, "versions": versions()}
        row |= {"machine": machine(), "finished_at": _now()}
        write_json({"row": row, "curves": curves}, file)
    return 0


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# All runs


def command_of(store: Store, run: Run, rate: float, sft_seconds: float) -> list[str]:
    """The command that does one run."""
    folders = ["--work", str(store.work), "--results", str(store.results)]
    return [sys.executable, "-m", "benchmarks.study", *folders, "one", json.dumps([asdict(run), rate, sft_seconds])]


def run_all(store: Store, jobs: int, most: int | None = None, command: Callable[..., list[str]] = command_of) -> None:
    """Run what is missing, in order, `jobs` at a time; `most` ends after so many runs."""
    store.work.mkdir(parents=True, exist_ok=True)
    with (store.work / "runner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("study: a runner is at work here already, see `status`.") from None
        lock.write(str(os.getpid()))
        lock.flush()
        check_commit(store, commit())
        _loop(store, jobs, most, command)


def _loop(store: Store, jobs: int, most: int | None, command: Callable[..., list[str]]) -> None:
    running: dict[str, tuple[Run, subprocess.Popen[bytes]]] = {}
    failures: Counter[str] = Counter()
    blocked: dict[str, float] = {}  # run of a process that an earlier runner left behind -> when to look again
    started = 0
    while True:
        for name, (run, process) in list(running.items()):
            status = process.poll()
            if status is None:
                continue
            del running[name]
            if status == BUSY or status < 0:  # killed from outside, or done elsewhere: again, a little later
                blocked[name] = time.monotonic() + 20 * PAUSE
            elif status == STOP:
                raise SystemExit(f"study: {_last_line(store, name, status)}")
            elif status:
                failures[name] += 1
                print(f"{_now()} {name} failed, see {_log(store, name)}", flush=True)
                if failures[name] >= TRIES:
                    _give_up(store, run, status)
            store.collect()
        rows = store.rows()
        waiting = [
            run for run in waiting_runs(rows)
            if run.name not in running and blocked.get(run.name, 0.0) < time.monotonic()
        ]  # fmt: skip
        while waiting and len(running) < jobs and (most is None or started < most):
            run = waiting.pop(0)
            running[run.name] = (run, _start(store, run, rows, command))
            started += 1
        is_over = started == most or not (waiting or any(name not in rows for name in blocked))
        if not running and is_over:
            store.collect()
            return
        time.sleep(PAUSE)


def _log(store: Store, name: str) -> Path:
    return store.work / "logs" / f"{name}.log"


def _start(store: Store, run: Run, rows: dict[str, Any], command: Callable[..., list[str]]) -> subprocess.Popen[bytes]:
    is_rate = run.arm == BASE and run.stage == "tuning"
    rate = run.value if is_rate else chosen_value(BASE, rows)
    assert rate is not None
    base = rows.get(base_of(run, rate).name) or {}
    seconds = float(base.get("train_seconds") or 0.0)
    log = _log(store, run.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
    }  # fmt: skip
    print(f"{_now()} {run.name}", flush=True)
    with log.open("wb") as output:
        arguments = command(store, run, rate, seconds)
        return subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)


def _last_line(store: Store, name: str, status: int) -> str:
    lines = _log(store, name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit status {status}"


def _give_up(store: Store, run: Run, status: int) -> None:
    """Record a run that failed twice."""
    row = {"run": run.name, **asdict(run), "commit": commit(), "finished_at": _now()}
    row["error"] = _last_line(store, run.name, status)
    write_json({"row": row, "curves": {}}, store.file_of(run.name))


def print_status(store: Store) -> None:
    """Print how far the study is."""
    rows = store.rows()
    done = Counter((row["stage"], row["task"]) for row in rows.values())
    for (stage, task), count in sorted(done.items()):
        print(f"{stage:7} {task:12} {count} runs")
    errors = [row["run"] for row in rows.values() if row.get("error")]
    seconds = [float(row["wall_seconds"]) for row in rows.values() if row.get("wall_seconds")]
    recent = sum(seconds[-16:]) / max(len(seconds[-16:]), 1)
    print(f"{len(rows)} of {total_runs()} runs finished, {len(errors)} with an error {errors or ''}")
    print(
        f"a run takes {recent / 60:.1f} minutes lately; {recent * (total_runs() - len(rows)) / 3600:.1f} h of one job left"
    )
    following = [run.name for run in known_runs(rows) if run.name not in rows][:3]
    print("next:", ", ".join(following) or "nothing")
    lock = store.work / "runner.lock"
    if lock.is_file():
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                print("no runner is at work; `run` continues")
            except BlockingIOError:
                print("a runner is at work, pid", file.read())
