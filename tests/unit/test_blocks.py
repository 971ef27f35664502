"""A training job from its dataset to its files."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bnstudy import blocks
from bnstudy.blocks import BlockFiles, train_block
from bnstudy.collect import collect_rows, collect_runs, read_block
from bnstudy.data import make_data
from bnstudy.files import DamagedFile, read_json, read_tensors, write_data

RANGES = {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]}
BN = {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}
MEASURED = {"points": 6, "saturation": 0.95}


@pytest.fixture
def train(tmp_path):
    """Train a small block into a folder; returns its files."""
    write_data(tmp_path / "data.npz", make_data([1, 2, 3], 40, 20, RANGES))

    def train(name, epochs, arm="batch", seeds=(1, 2), start=None, **settings):
        folder = tmp_path / name
        names = ("curves.parquet", "measures.parquet", "weights.safetensors", "record.json")
        files = BlockFiles(*(folder / n for n in names))
        options = {"training": {"epochs": epochs, "learning_rate": 1e-3}, "batch_norm": BN}
        train_block(
            tmp_path / "data.npz", files, arm=arm, width=5, seeds=list(seeds), start=start,
            settings=options | settings, measured=MEASURED,
        )  # fmt: skip
        return files

    return train


def table(path) -> pd.DataFrame:
    return read_block(path).to_pandas().astype({"arm": str})


def test_the_files_hold_a_row_a_seed_and_epoch(train):
    files = train("a", 30)
    curves, measures = table(files.curves), table(files.measures)
    assert list(curves.seed) == [1] * 30 + [2] * 30 and list(curves.epoch) == [*range(30)] * 2
    assert list(measures.epoch.unique()) == [0, 1, 3, 7, 14, 29]
    assert np.isfinite(measures.drop(columns="arm")).all().all()
    record = read_json(files.record)
    assert record["seeds"] == [1, 2] and len(set(record["run_keys"].values())) == 2
    assert record["seconds"] > 0


@pytest.mark.parametrize("arm", ["none", "batch"])
def test_going_on_gives_what_one_go_gives(train, arm):
    """Bit for bit, for some of the seeds: curves, weights, and the last measures."""
    whole = train("whole", 50, arm, seeds=(2,))
    first = train("first", 20, arm, seeds=(1, 2, 3))
    rest = train("rest", 50, arm, seeds=(2,), start=first)
    pd.testing.assert_frame_equal(table(whole.curves), table(rest.curves), check_exact=True)
    weights, expected = read_tensors(rest.weights), read_tensors(whole.weights)
    assert weights.keys() == expected.keys()
    for name in weights:
        np.testing.assert_array_equal(weights[name], expected[name])
    ours, theirs = (table(files.measures).iloc[-1] for files in (rest, whole))
    pd.testing.assert_series_equal(ours, theirs, check_names=False)
    assert read_json(rest.record)["seconds"] > read_json(first.record)["seconds"] / 3


@pytest.mark.parametrize("name", ["curves", "measures", "weights"])
def test_nothing_goes_on_from_a_damaged_block(train, name):
    first = train("first", 20)
    path = getattr(first, name)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"{path.name} is damaged"):
        train("rest", 50, start=first)
    if name != "weights":
        with pytest.raises(DamagedFile, match=f"{path.name} is damaged"):
            collect_runs([first.curves], [first.measures], [first.record], range(9),
                         final_window=5, thresholds=[22.58])  # fmt: skip


def test_long_curves_are_written_stretch_by_stretch(train, monkeypatch):
    whole = train("whole", 30)
    monkeypatch.setattr(blocks, "STRETCH", 7)
    stretches = train("stretches", 30)
    assert pq.read_metadata(stretches.curves).num_row_groups == 5
    pd.testing.assert_frame_equal(table(whole.curves), table(stretches.curves), check_exact=True)
    pd.testing.assert_frame_equal(table(whole.measures), table(stretches.measures))
    runs = [
        collect_runs([f.curves], [f.measures], [f.record], range(9), final_window=5,
                     thresholds=[22.58])
        for f in (whole, stretches)
    ]  # fmt: skip
    pd.testing.assert_frame_equal(*(r.drop(columns="seconds") for r in runs))


def test_label_noise_is_on_the_training_targets_alone(train):
    quiet, noisy = (train(n, 1, **s) for n, s in (("a", {}), ("b", {"label_noise": 0.5})))
    quiet, noisy = table(quiet.curves), table(noisy.curves)
    assert (quiet.train_loss != noisy.train_loss).all()
    data = make_data([1, 2], 4000, 20, RANGES)
    added = data.with_label_noise(0.5)
    noise = added.train_targets - data.train_targets
    assert noise.std() == pytest.approx(0.5, rel=0.02)  # 24,000 values: 3 standard errors
    assert noise.mean() == pytest.approx(0, abs=0.01)
    np.testing.assert_array_equal(added.test_targets, data.test_targets)
    assert data.with_label_noise(0.0) is data


def test_rows_can_carry_what_their_block_is(train):
    files = [train("a", 5), train("b", 5, seeds=(3,))]
    tables = collect_rows([f.curves for f in files], variant=["x", "y"])
    whole = pd.concat([t.to_pandas() for t in tables])
    assert list(whole.columns[:2]) == ["variant", "arm"]
    assert whole.groupby("variant", observed=True).seed.unique().map(list).to_dict() == {
        "x": [1, 2], "y": [3]
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what divergence is about
def test_a_diverging_run_is_named(train, caplog):
    train("a", 3, "none", training={"epochs": 3, "learning_rate": 1e200})
    assert "seed 1 diverged at epoch" in caplog.text
