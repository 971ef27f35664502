"""Progress: work is weighed by its cost, and blocks that were there before count as done."""

import os

import pytest

from bnstudy.commands.progress import report
from bnstudy.files import write_json


def block(place: str, cost: float, due: bool = False) -> dict:
    return {"place": place, "models": 10, "cost": cost, "due": due}


def test_progress_weighs_blocks_by_their_work(tmp_path):
    """Work 1000, 1000, 500: one done before, one half done in 60 s, one to do."""
    blocks = [
        block("none-w80/seeds_0", 1000),
        block("batch-w80/seeds_0", 1000),
        block("none-w30/seeds_0", 500),
    ]
    write_json(tmp_path / "logs/plan.json", {"started": 1000.0, "blocks": blocks})
    record = tmp_path / "results/runs/none-w80/seeds_0/record.json"
    write_json(record, {})
    os.utime(record, (900, 900))
    log = tmp_path / "logs/train/batch-w80/seeds_0.log"
    log.parent.mkdir(parents=True)
    log.write_text("x epoch 20 of 100, 1 ms\nx epoch 50 of 100, 1 ms\n")
    # done 1000 + 500 of 2500; 500 in one minute, 1000 left
    assert report(tmp_path, 1060.0) == "training: 60 % done, 1 min so far, about 2 min left"


def test_a_block_that_is_trained_anew_is_not_done_while_its_old_record_is_there(tmp_path):
    blocks = [block("none-w8/seeds_0", 1.0, due=True), block("none-w9/seeds_0", 1.0)]
    write_json(tmp_path / "logs/plan.json", {"started": 1000.0, "blocks": blocks})
    for width in (8, 9):
        record = tmp_path / f"results/runs/none-w{width}/seeds_0/record.json"
        write_json(record, {})
        os.utime(record, (900, 900))
    assert report(tmp_path, 1000.0).startswith("training: 50 % done")
    os.utime(tmp_path / "results/runs/none-w8/seeds_0/record.json", (1010, 1010))
    assert report(tmp_path, 1060.0) == "training: all done"


def test_the_last_minute_is_no_zero_minutes(tmp_path):
    blocks = [block("none-w8/seeds_0", 3.0, due=True), block("none-w9/seeds_0", 1.0, due=True)]
    write_json(tmp_path / "logs/plan.json", {"started": 0.0, "blocks": blocks})
    write_json(tmp_path / "results/runs/none-w8/seeds_0/record.json", {})
    assert report(tmp_path, 60.0).endswith("1 min so far, less than a minute left")


def test_a_finished_study_says_so(tmp_path):
    blocks = [block("none-w8/seeds_0", 1.0)]
    write_json(tmp_path / "logs/plan.json", {"started": 0.0, "blocks": blocks})
    write_json(tmp_path / "results/runs/none-w8/seeds_0/record.json", {})
    assert report(tmp_path, 1.0) == "training: all done"


def test_without_a_study_there_is_nothing_to_report(tmp_path):
    with pytest.raises(FileNotFoundError):
        report(tmp_path, 1.0)
