"""A training job from its dataset to its files."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from jobs import RANGES, data_of, settings_of

from bnstudy.config import members, models
from bnstudy.experiment import block
from bnstudy.experiment.block import BlockFiles, run_key, train_block
from bnstudy.experiment.data import make_data, write_data
from bnstudy.experiment.snapshots import read_snapshots
from bnstudy.files import DamagedFile, read_json, read_parquet, read_tensors, write_json

SNAPSHOTS = {30: [0, 1, 3, 7, 14, 29], 20: [0, 2, 7, 19], 50: [0, 3, 9, 21, 49]}


@pytest.fixture
def train(tmp_path):
    """Train a small block into a folder; returns its files."""
    write_data(tmp_path / "data.npz", data_of([1, 2, 3], 40, 20))

    def train(name, epochs, arm="batch", seeds=(1, 2), resume_from=None, snapshots=None, **changes):
        folder = tmp_path / name
        files = BlockFiles(
            folder / "curves.parquet",
            folder / "snapshots.safetensors",
            folder / "checkpoint.safetensors",
            folder / "record.json",
        )
        train_block(
            tmp_path / "data.npz",
            files,
            seeds=list(seeds),
            settings=settings_of(arm, epochs=epochs, **changes),
            code="digest",
            snapshot_epochs=SNAPSHOTS.get(epochs, []) if snapshots is None else snapshots,
            resume_from=resume_from,
        )
        return files

    return train


def table(path) -> pd.DataFrame:
    return read_parquet(path).to_pandas().sort_values(["seed", "epoch"], ignore_index=True)


def assert_same(ours, theirs):
    """Two files of tensors, bit for bit."""
    ours, theirs = read_tensors(ours), read_tensors(theirs)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_the_files_hold_a_row_per_seed_and_epoch(train):
    files = train("a", 30)
    curves = read_parquet(files.curves).to_pandas()
    assert list(curves.seed) == [1] * 30 + [2] * 30 and list(curves.epoch) == [*range(30)] * 2
    assert np.isfinite(curves[["train_loss", "test_loss"]]).all().all()
    assert curves[["train_loss_eval", "steps"]].isna().all().all()
    arrays = read_tensors(files.snapshots)
    assert arrays["epoch"].tolist() == SNAPSHOTS[30]
    parameters = 6 * 5 + 3 * 5 + 3
    for name in ("parameters", "gradients", "second_moment"):
        assert arrays[name].shape == (6, 2, parameters)
    assert arrays["norm.running_std"].shape == (6, 2, 1, 5)
    record = read_json(files.record)
    assert record["seeds"] == [1, 2] and len(set(record["run_keys"].values())) == 2
    assert record["seconds"] > 0 and record["code_digest"] == "digest"
    assert record["started_at"] <= record["finished_at"] < f"{datetime.now(UTC):%FT%T}.999"
    assert record["dataset_digests"] == {
        str(s): d for s, d in data_of([1, 2], 40, 20).digests().items()
    }
    assert list(record["files"]) == [path.name for path in files[:-1]]


def test_with_minibatches_steps_and_the_evaluated_train_loss_are_there(train):
    curves = table(train("a", 5, batch_size=16).curves)
    assert list(curves.steps) == [3, 6, 9, 12, 15] * 2
    assert np.isfinite(curves.train_loss_eval).all()
    assert (curves.train_loss_eval != curves.train_loss).all()


def test_tuning_runs_save_no_snapshots(train):
    """The arrays are there, of no epochs."""
    arrays = read_tensors(train("a", 5, snapshots=[]).snapshots)
    assert arrays["epoch"].shape == (0,) and arrays["parameters"].shape == (0, 2, 48)
    assert arrays["epoch"].dtype == np.int64


CONTINUED = {
    "none": {"arm": "none"},
    "batch": {"arm": "batch"},
    "minibatches": {"arm": "batch", "batch_size": 16},
    "dropout": {"arm": "dropout", "batch_size": 16},
    "layer-norm": {"arm": "layer-norm"},
    "sgd": {"arm": "none", "optimizer": "sgd"},
}


@pytest.mark.parametrize("case", CONTINUED)
def test_going_on_gives_what_one_go_gives(train, case):
    """Bit for bit, for some of the seeds: curves, checkpoint, and snapshots where both have one."""
    whole = train("whole", 50, seeds=(2,), **CONTINUED[case])
    first = train("first", 20, seeds=(1, 2, 3), **CONTINUED[case])
    rest = train("rest", 50, seeds=(2,), resume_from=first, **CONTINUED[case])
    pd.testing.assert_frame_equal(table(whole.curves), table(rest.curves), check_exact=True)
    assert_same(rest.checkpoint, whole.checkpoint)
    arrays, expected = read_tensors(rest.snapshots), read_tensors(whole.snapshots)
    epochs = arrays.pop("epoch").tolist()
    assert epochs == [0, 2, 7, 19, 21, 49]
    for row, epoch in enumerate(expected.pop("epoch").tolist()):
        if epoch in epochs:
            for name, array in arrays.items():
                np.testing.assert_array_equal(array[epochs.index(epoch)], expected[name][row])
    assert read_json(rest.record)["seconds"] > read_json(first.record)["seconds"] / 3


def test_a_run_that_goes_on_brings_its_share_of_the_seconds(train):
    """Two of three runs that took 9 million; what they take here is less than one."""
    first = train("first", 20, seeds=(1, 2, 3))
    write_json(first.record, read_json(first.record) | {"seconds": 9e6})
    rest = train("rest", 50, seeds=(2, 3), resume_from=first)
    assert 6e6 < read_json(rest.record)["seconds"] < 7e6


@pytest.mark.parametrize("name", ["curves", "snapshots", "checkpoint"])
def test_nothing_goes_on_from_a_damaged_block(train, name):
    first = train("first", 20)
    path = getattr(first, name)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"{path.name} is damaged"):
        train("rest", 50, resume_from=first)


def test_long_curves_are_written_chunk_by_chunk(train, monkeypatch):
    whole = train("whole", 30)
    monkeypatch.setattr(block, "CHUNK_EPOCHS", 7)
    chunks = train("chunks", 30)
    assert pq.read_metadata(chunks.curves).num_row_groups == 5
    pd.testing.assert_frame_equal(table(whole.curves), table(chunks.curves), check_exact=True)
    assert_same(whole.snapshots, chunks.snapshots)
    first = pq.ParquetFile(chunks.curves).read_row_group(0).to_pandas()
    assert list(first.seed) == [1] * 7 + [2] * 7 and list(first.epoch) == [*range(7)] * 2
    longer = train("longer", 50, seeds=(2,), resume_from=chunks)
    sizes = [g.num_rows for g in map(pq.read_metadata(longer.curves).row_group, range(8))]
    assert sizes == [7, 7, 7, 7, 2, 7, 7, 6]


def test_label_noise_moves_the_train_losses(train):
    """And the test losses only through what is learned: not before the second epoch's end."""
    quiet, noisy = (table(train(n, 1, label_noise=s).curves) for n, s in (("a", 0.0), ("b", 0.5)))
    assert (quiet.train_loss != noisy.train_loss).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what divergence is about
def test_a_diverging_run_is_named(train, caplog):
    train("a", 3, "none", learning_rate=1e200)
    assert "none-w5, seed 1 diverged at epoch" in caplog.text


def test_what_the_key_of_a_run_is_made_of():
    article = settings_of("none", 300, epochs=10_000)
    key = run_key(article, 3, "code")
    assert key.startswith("none-w300-s3-")
    assert run_key(article | {"device": "cuda"}, 3, "code") == key
    assert run_key({n: v for n, v in article.items() if n != "schedule"}, 3, "code") == key
    others = [
        run_key(article | {"schedule": "cosine"}, 3, "code"),
        run_key(article | {"dataset": article["dataset"] | {"test_size": 9}}, 3, "code"),
        run_key(article, 3, "other code"),
        run_key(article, 4, "code"),
    ]
    assert len({key, *others}) == 5


def test_the_articles_settings_are_those_of_the_configuration():
    assert models.ARTICLE.items() <= block.ARTICLE.items()


def test_snapshots_are_the_networks_while_training(train, tmp_path):
    """The last one is the checkpoint's network; its gradient led to it."""
    files = train("a", 30)
    found = list(read_snapshots(files.snapshots, files.record, tmp_path / "data.npz"))
    assert [(s.seed, s.epoch) for s in found] == [(s, e) for s in (1, 2) for e in SNAPSHOTS[30]]
    state = read_tensors(files.checkpoint)
    for row, last in ((0, found[5]), (1, found[11])):
        for name, tensor in last.network.state_dict().items():
            np.testing.assert_array_equal(tensor[0].numpy(), state[name][row])
        np.testing.assert_array_equal(last.second_moment, state["optimizer.exp_avg_sq"][row])
        data = make_data(
            [last.seed], "article", "plain", train_size=40, test_size=20, ranges=RANGES
        )
        np.testing.assert_array_equal(last.inputs, data.test_inputs[0])
        np.testing.assert_array_equal(last.targets, data.test_targets[0])
        np.testing.assert_array_equal(last.train_inputs, data.train_inputs[0])
        np.testing.assert_array_equal(last.train_targets, data.train_targets[0])
        assert not last.network.training
        shapes = {name: part.shape for name, part in last.gradients_by_name.items()}
        assert shapes == {n: p.shape[1:] for n, p in last.network.named_parameters()}
        joined = np.concatenate([part.ravel() for part in last.gradients_by_name.values()])
        np.testing.assert_array_equal(joined, last.gradient)


def test_damaged_snapshots_are_refused(train, tmp_path):
    files = train("a", 30)
    content = bytearray(files.snapshots.read_bytes())
    content[-5] ^= 1
    files.snapshots.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"snapshots\.safetensors is damaged"):
        next(read_snapshots(files.snapshots, files.record, tmp_path / "data.npz"))


@pytest.mark.parametrize("arm", members.names("arms"))
def test_what_snapshots_derive_is_the_networks(train, tmp_path, arm):
    """Pre-activations, and the Jacobian by autograd, point by point."""
    files = train("a", 30, arm)
    *_, last = read_snapshots(files.snapshots, files.record, tmp_path / "data.npz")
    x = torch.from_numpy(last.inputs)
    z = last.network.pre_activations(x[None])[0].detach().numpy()
    np.testing.assert_allclose(last.pre_activations, z, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(last.features, np.tanh(last.pre_activations))

    def output(point):
        return last.network(point.expand(1, 1, 3))[0, 0]

    expected = np.stack([torch.autograd.functional.jacobian(output, point).numpy() for point in x])
    np.testing.assert_allclose(last.jacobian, expected, rtol=1e-11, atol=1e-11)
    assert last.has_affine == (arm not in ("layer-norm", "rms-norm"))
    assert last.input_weights.shape == ((3, 5) if last.has_affine else (20, 3, 5))


@pytest.fixture
def train_tuned(tmp_path):
    """Train a small tuned block into a folder; returns its files."""
    write_data(tmp_path / "data.npz", data_of([1, 2], 40, 20))

    def train(name, rate=0.03, objective="final_test_loss", seeds=(1, 2), **options):
        write_json(tmp_path / "choice.json", {"learning_rate": rate, "schedule": "cosine"})
        settings = settings_of("batch", cell=name, tuned_for=objective)
        del settings["learning_rate"], settings["schedule"]
        files = BlockFiles(*(tmp_path / name / file for file in FILES))
        block.train_block_once(
            tmp_path / "kept",
            tmp_path / "choice.json",
            tmp_path / "data.npz",
            files,
            seeds=list(seeds),
            settings=settings,
            **{"code": "digest", "snapshot_epochs": [0, 29], **options},
        )
        return files

    return train


FILES = ("curves.parquet", "snapshots.safetensors", "checkpoint.safetensors", "record.json")


def test_a_tuned_block_is_trained_with_what_was_chosen(train, train_tuned):
    tuned = train_tuned("tuned")
    record = read_json(tuned.record)
    assert record["settings"]["learning_rate"] == 0.03 and record["settings"]["cell"] == "tuned"
    plain = train("plain", 30, learning_rate=0.03, schedule="cosine")
    np.testing.assert_array_equal(table(tuned.curves), table(plain.curves))
    same = [key.rpartition("-")[2] for key in record["run_keys"].values()]
    assert same == [key.rpartition("-")[2] for key in read_json(plain.record)["run_keys"].values()]


def test_the_same_choice_for_another_objective_is_not_trained_twice(train_tuned, monkeypatch):
    first = train_tuned("first")
    monkeypatch.setattr(block, "train_block", None)
    second = train_tuned("second", objective="epochs_to_0.2258")
    for ours, theirs in zip(second[:-1], first[:-1], strict=True):
        assert ours.read_bytes() == theirs.read_bytes()
    record = read_json(second.record)
    assert record["settings"]["tuned_for"] == "epochs_to_0.2258"
    assert set(record["run_keys"].values()).isdisjoint(read_json(first.record)["run_keys"].values())
    assert record["files"] == read_json(first.record)["files"]


@pytest.mark.parametrize(
    "change", [{"rate": 0.1}, {"code": "other"}, {"seeds": [1]}, {"snapshot_epochs": [0]}], ids=str
)
def test_whatever_is_another_training_is_trained(train_tuned, monkeypatch, change):
    train_tuned("first")
    monkeypatch.setattr(block, "train_block", None)
    with pytest.raises(TypeError, match="not callable"):
        train_tuned("second", **change)


def test_other_seeds_as_many_are_another_training(train_tuned):
    """As the blocks of one cell are."""
    records = [read_json(train_tuned(f"of_{s}", seeds=[s]).record) for s in (1, 2)]
    assert [record["seeds"] for record in records] == [[1], [2]]
    assert records[0]["files"] != records[1]["files"]


def test_damaged_runs_are_trained_anew(train_tuned, tmp_path):
    whole = train_tuned("first").curves.read_bytes()
    [kept] = (tmp_path / "kept").glob("*/curves.parquet")
    kept.write_bytes(whole[:100])
    assert train_tuned("second").curves.read_bytes() == whole
