"""Progress: work is weighed by width, and blocks that were there before count as done."""

import os

import pytest

from bnstudy.files import write_json
from bnstudy.progress import report


def test_progress_weighs_blocks_by_their_work(tmp_path):
    """Work 10 x 100, 10 x 100, 10 x 50: one done before, one half done in 60 s, one to do."""
    blocks = [["none", 80, 0, 10], ["batch", 80, 0, 10], ["none", 30, 0, 10]]
    write_json(tmp_path / "logs/plan.json", {"started": 1000.0, "blocks": blocks})
    record = tmp_path / "results/training/none/width_80/seeds_0/record.json"
    write_json(record, {})
    os.utime(record, (900, 900))
    log = tmp_path / "logs/train/batch/width_80/seeds_0.log"
    log.parent.mkdir(parents=True)
    log.write_text("x epoch 20 of 100, 1 ms\nx epoch 50 of 100, 1 ms\n")
    # done 1000 + 500 of 2500; 500 in one minute, 1000 left
    assert report(tmp_path, 1060.0) == "training: 60 % done, 1 min so far, about 2 min left"


def test_a_finished_study_says_so(tmp_path):
    write_json(tmp_path / "logs/plan.json", {"started": 0.0, "blocks": [["none", 8, 0, 1]]})
    write_json(tmp_path / "results/training/none/width_8/seeds_0/record.json", {})
    assert report(tmp_path, 1.0) == "training: all done"


def test_without_a_study_there_is_nothing_to_report(tmp_path):
    with pytest.raises(FileNotFoundError):
        report(tmp_path, 1.0)
