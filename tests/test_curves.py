"""Learning curves from trainer logs."""

import json

import pytest

from egpo_trl.cli import main
from egpo_trl.curves import draw_curves, read_log, series

LOG = [
    {"step": step, "reward": step / 10, "egpo/cot_entropy": 0.5, "egpo/bonus": 0.1, "kl": None} for step in range(1, 9)
] + [{"step": 8, "train_runtime": 3.0}]


def write(folder, log=LOG, name="trainer_state.json"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"log_history": log}))
    return folder


def test_series():
    assert series(LOG, "reward") == (list(range(1, 9)), [step / 10 for step in range(1, 9)])
    assert series(LOG, "kl") == ([], [])


def test_read_a_run_a_checkpoint_and_a_file(tmp_path):
    write(tmp_path / "run" / "checkpoint-4", LOG[:4])
    assert read_log(tmp_path / "run") == LOG[:4]
    write(tmp_path / "run")
    assert read_log(tmp_path / "run") == LOG
    assert read_log(tmp_path / "run" / "checkpoint-4" / "trainer_state.json") == LOG[:4]


def test_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no trainer_state\.json"):
        read_log(tmp_path)
    (tmp_path / "trainer_state.json").write_text('{"log_history": [5]}')
    with pytest.raises(ValueError, match="is not a trainer state"):
        read_log(tmp_path)
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_curves({"a": []}, tmp_path / "x.png")


@pytest.mark.parametrize("runs", [{"a": LOG}, {"a": LOG, "b": LOG[:1]}])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures(tmp_path, runs, ending):
    picture = draw_curves(runs, tmp_path / "deep" / f"x.{ending}", title="t")
    assert picture.stat().st_size > 5000


def test_command(tmp_path, capsys):
    run = write(tmp_path / "run")
    main(["curves", str(run)])
    assert (run / "learning_curves.png").exists()
    main(["curves", str(run), str(run / "trainer_state.json"), "--output", str(tmp_path / "two.svg")])
    assert (tmp_path / "two.svg").exists()
    with pytest.raises(SystemExit, match=r"egpo-trl curves: .*nowhere"):
        main(["curves", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match="unknown command 'fly'"):
        main(["fly"])
    main([])
    assert "egpo-trl COMMAND" in capsys.readouterr().out
