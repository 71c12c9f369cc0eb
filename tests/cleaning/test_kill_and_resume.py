"""`kill -9` at random points, and going on afterwards: the output of a run that was not killed, nothing judged twice."""

import json
import multiprocessing
import random
import time
from pathlib import Path

from egpo_trl.cleaning import CleaningConfig, clean
from tests.cleaning.judge_server import JudgeServer
from tests.cleaning.world_judge import Truth, corrupted_rows, no_unknown_function, question

ROWS = 400
KILLS = 20
CONCURRENCY = 8


def run(folder: str, url: str) -> None:
    config = CleaningConfig(
        output_dir=folder, base_url=url, model_name_or_path="judge", concurrency=CONCURRENCY, output_format="jsonl"
    )
    clean(config, corrupted_rows(ROWS)[1], evaluate_row=no_unknown_function)


def processes():
    """A server process that has imported everything and forks the runs: a kill costs no import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "egpo_trl.cleaning.pipeline", "egpo_trl.cleaning.judges", "openai"])
    return context


def journalled(path: Path, rows) -> set[str]:
    """Questions whose verdict is in the journal, as the server logs them; lines torn by the kill do not count."""
    if not path.exists():
        return set()
    asked = set()
    for line in path.read_text().splitlines(keepends=True)[1:]:
        if line.endswith("\n"):
            record = json.loads(line)
            answer = json.loads(rows[record["row"]]["reference"])
            for attempt in record["attempts"]:
                asked.add(f"{question(rows[record['row']])} {json.dumps(answer)}")
                corrected = attempt["corrected"]
                answer = [] if isinstance(corrected, str) else corrected
    return asked


def wait_for_late(server: JudgeServer) -> None:
    """Requests that were on their way at a kill reach the server, however busy the machine is."""
    seen = -1
    while seen != len(server.log):
        seen = len(server.log)
        time.sleep(0.15)


def test_kill_and_resume(tmp_path):
    right, wrong = corrupted_rows(ROWS)
    choose = random.Random(0)
    context = processes()
    with JudgeServer(Truth(right), delay=0.01) as server:
        run(str(tmp_path / "whole"), server.url)
        questions = len(server.log)
        server.log.clear()
        folder = tmp_path / "killed"
        repeated = kills = 0
        while True:
            known = journalled(folder / "journal.jsonl", wrong)
            begin = len(server.log)
            process = context.Process(target=run, args=(str(folder), server.url))
            process.start()
            if kills == KILLS:
                process.join()
                assert process.exitcode == 0
            else:
                end = begin + choose.randint(1, 20)
                while len(server.log) < end and process.is_alive():
                    time.sleep(0.001)
                time.sleep(choose.uniform(0, 0.03))
                assert process.is_alive(), "the run ended before it could be killed"
                process.kill()
                process.join()
                wait_for_late(server)
            asked = server.log[begin:]
            assert not known & set(asked), "a verdict that is in the journal was asked for again"
            repeated += len(set(server.log[:begin]) & set(asked))
            if kills == KILLS:
                break
            kills += 1
        for delay in (0.0, 0.02, 0.04, 0.06, 0.1):  # while the output is put together
            process = context.Process(target=run, args=(str(folder), server.url))
            process.start()
            time.sleep(delay)
            process.kill()
            process.join()
        total = len(server.log)
        run(str(folder), server.url)
        assert len(server.log) == total
    assert len(set(server.log)) == questions
    assert total - questions == repeated <= KILLS * CONCURRENCY
    for name in ("rows.jsonl", "dropped.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    counts = [json.loads((path / "manifest.json").read_text())["counts"] for path in (folder, tmp_path / "whole")]
    assert counts[0] == counts[1]
    print(f"{KILLS} kills: {questions} questions, {repeated} in flight at a kill and asked again")
