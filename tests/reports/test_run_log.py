"""What a run leaves behind, and how a running one is read."""

import json
from types import SimpleNamespace

import pytest

from egpo_trl.reports.run_log import read_config, read_log, save_config, series
from egpo_trl.runs.callbacks import LogFileCallback

LOG = [{"step": step, "reward": step / 10} for step in range(1, 9)] + [{"step": 8, "train_runtime": 3.0}]


def write(folder, log=LOG):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    return folder


def test_series():
    log = [*LOG, {"step": 8, "reward": 2}, {"step": 9, "reward": float("nan")}, {"step": 10, "reward": None}]
    assert series(log, "reward") == (list(range(1, 9)), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 2.0])
    assert series(LOG, "kl") == ([], [])


def test_read_a_run_a_checkpoint_and_a_file(tmp_path):
    run = tmp_path / "run"
    write(run / "checkpoint-4", LOG[:4])
    assert read_log(run) == LOG[:4]
    write(run)
    assert read_log(run) == LOG
    assert read_log(run / "checkpoint-4" / "trainer_state.json") == LOG[:4]
    (run / "log.jsonl").write_text("\n".join(json.dumps(entry) for entry in LOG[:2]) + '\n{"step": 3, "rew')
    assert read_log(run) == read_log(run / "log.jsonl") == LOG[:2]  # the third line is being written


@pytest.mark.parametrize("text", ['{"log_history": [5]}', "", "[" * 100_000, '{"log_history": 3}'])
def test_broken_logs(tmp_path, text):
    with pytest.raises(FileNotFoundError, match=r"does not contain a log yet"):
        read_log(tmp_path)
    (tmp_path / "trainer_state.json").write_text(text)
    with pytest.raises(ValueError, match="is neither a log nor a trainer state"):
        read_log(tmp_path)
    (tmp_path / "log.jsonl").write_text("{\n{}\n")
    with pytest.raises(ValueError, match=r"log\.jsonl is neither a log nor a trainer state"):
        read_log(tmp_path)


def test_the_log_of_a_running_run_is_on_disk_and_a_resumed_run_starts_from_its_checkpoint(tmp_path):
    def state(history, main=True):
        return SimpleNamespace(log_history=history, is_world_process_zero=main)

    args, callback = SimpleNamespace(output_dir=str(tmp_path / "run")), LogFileCallback()
    callback.on_train_begin(args, state([]), None)
    for length in (1, 2, 3):
        callback.on_log(args, state(LOG[:length]), None)
        assert read_log(tmp_path / "run") == LOG[:length]
    callback.on_train_begin(args, state(LOG[:1]), None)
    assert read_log(tmp_path / "run") == LOG[:1]
    callback.on_log(args, state(LOG[:2], main=False), None)
    callback.on_train_begin(args, state([], main=False), None)
    assert read_log(tmp_path / "run") == LOG[:1]


def test_config(tmp_path):
    assert read_config(tmp_path) is None
    save_config({"lr": 1e-4, "kind": object}, ["lr"], {"trl": "1"}, tmp_path)
    config = read_config(tmp_path)
    assert config["changed"] == ["lr"]
    assert config["fields"]["lr"] == 1e-4
    assert config["versions"] == {"trl": "1"}
    (tmp_path / "run_config.json").write_text("[]")
    with pytest.raises(ValueError, match="is not a configuration"):
        read_config(tmp_path)
