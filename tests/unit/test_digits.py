"""The digits: the split, the pairing of the arms, and what a run is measured by."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
import torch

from bnstudy.experiment import digits
from bnstudy.experiment.digits import (
    NETWORKS,
    SHAPES,
    choose,
    epochs_to,
    load,
    make_network,
    make_split,
    train,
    train_networks,
)

SIZES = {"shape": (8, 8), "widths": [32, 32], "channels": [8, 16]}
CELL = {"widths": [8], "channels": [2, 3], "validation_share": 0.25, "threshold": 2.0}
CELL |= {"epochs": 2, "batch_size": 128}
TUNED = CELL | {"learning_rates": [0.1, 0.01]}


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(network: torch.nn.Sequential) -> list[torch.Tensor]:
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
    layers = [layer for layer in network if isinstance(layer, kinds)]
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias)]


def test_a_split_is_stratified_repeats_and_differs_between_seeds():
    """1797 images, 174 to 183 of each digit (scikit-learn's documentation of load_digits)."""
    split = make_split("digits", 3, 0.25)
    assert len(split.train_labels) == 1347 and len(split.validation_labels) == 450
    train_counts = split.train_labels.bincount()
    validation_counts = split.validation_labels.bincount()
    assert (train_counts + validation_counts).min() == 174
    assert (train_counts + validation_counts).max() == 183
    assert ((validation_counts - (train_counts + validation_counts) / 4).abs() < 1).all()
    again, other = make_split("digits", 3, 0.25), make_split("digits", 4, 0.25)
    assert all(torch.equal(a, b) for a, b in zip(split, again, strict=True))
    assert not torch.equal(split.train_labels, other.train_labels)


def test_the_parts_hold_every_image_once_at_the_training_parts_scale():
    split = make_split("digits", 3, 0.25)
    images = split.train_images
    assert images.shape == (1347, 1, 8, 8) and images.dtype == torch.float64
    assert images.mean().item() == pytest.approx(0, abs=1e-12)
    assert images.std(correction=0).item() == pytest.approx(1, rel=1e-12)
    both = torch.cat([images, split.validation_images]).flatten(1)
    assert len(both.unique(dim=0)) == 1797  # no two digits are alike, so none is there twice


def test_mnist1d_is_the_published_data_set():
    """The SHA-256 of mnist1d_data.pkl in github.com/greydanus/mnist1d (commit 7878d96), training
    and test part together, to six decimals: a processor's last bit may differ. Both repeat."""
    images, labels = load("mnist1d")
    assert images.shape == (5000, 40) and list(np.bincount(labels)) == [500] * 10
    content = images.round(6).tobytes() + labels.astype(np.int64).tobytes()
    published = "d2a0683df6244627b8959cb4380549692286997e7aec37dc334b1c2dec737861"
    assert hashlib.sha256(content).hexdigest() == published


def test_a_split_of_mnist1d_has_a_part_of_each_class_and_lines_for_images():
    split = make_split("mnist1d", 3, 0.25)
    assert split.train_images.shape == (3750, 1, 40)
    assert list(split.validation_labels.bincount()) == [125] * 10
    assert split.train_images.std(correction=0).item() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("source", "name", "parameters", "of_bn"),
    [
        ("digits", "dense", 64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10, 2 * (32 + 32)),
        ("digits", "convolutional", 9 * 8 + 8 + 9 * 8 * 16 + 16 + 2 * 2 * 16 * 10 + 10, 2 * 24),
        ("mnist1d", "dense", 40 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10, 2 * (32 + 32)),
        ("mnist1d", "convolutional", 3 * 8 + 8 + 3 * 8 * 16 + 16 + 10 * 16 * 10 + 10, 2 * 24),
    ],
)
def test_the_networks_have_the_parameters_counted_by_hand(source, name, parameters, of_bn):
    shape = SHAPES[source]
    for arm, expected in (("none", parameters), ("batch", parameters + of_bn)):
        network = make_network(name, arm, generator(), **SIZES | {"shape": shape})
        assert sum(p.numel() for p in network.parameters()) == expected
        assert network(torch.zeros(5, 1, *shape).double()).shape == (5, 10)


@pytest.mark.parametrize("shape", SHAPES.values())
@pytest.mark.parametrize("name", NETWORKS)
def test_arms_share_weights_and_the_order_of_minibatches(name, shape):
    ours, theirs = generator(), generator()
    none = make_network(name, "none", ours, **SIZES | {"shape": shape})
    batch = make_network(name, "batch", theirs, **SIZES | {"shape": shape})
    assert len(weights(none)) == 2 * 3
    pairs = zip(weights(none), weights(batch), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(torch.randperm(50, generator=ours), torch.randperm(50, generator=theirs))


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_pytorchs_default_from_the_given_generator(name):
    """U(±1/√fan_in): spread 1/√(3 fan_in); the global generator plays no part."""
    torch.manual_seed(1)
    first = weights(make_network(name, "none", generator(), **SIZES))
    torch.manual_seed(2)
    second = weights(make_network(name, "none", generator(), **SIZES))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for weight in first[::2]:
        inputs = weight[0].numel()
        assert weight.abs().max() <= inputs**-0.5
        if weight.numel() > 500:
            assert weight.std().item() == pytest.approx((3 * inputs) ** -0.5, rel=0.1)


def test_training_starts_near_guessing_and_learns():
    """Guessing one of ten leaves ln 10 = 2.303; the article's claim is of networks that learn."""
    split = make_split("digits", 1, 0.25)
    for name in NETWORKS:
        shuffle = generator()
        network = make_network(name, "batch", shuffle, **SIZES)
        start = torch.nn.functional.cross_entropy(network(split.train_images), split.train_labels)
        assert start.item() == pytest.approx(math.log(10), rel=0.15)
        curve = train(network, split, shuffle, epochs=6, batch_size=64, learning_rate=0.005)
        assert curve.validation_loss.iloc[-1] < 0.5 and curve.validation_accuracy.iloc[-1] > 0.85


@pytest.mark.parametrize("name", NETWORKS)
def test_both_arms_learn_mnist1d(name):
    """Guessing one of ten leaves ln 10 = 2.303."""
    settings = CELL | {"widths": [32], "channels": [8, 16], "learning_rate": 0.01}
    for arm in ("none", "batch"):
        runs, _ = digits.train_cell("mnist1d", name, arm, [3], **settings)
        assert runs.final_validation_loss.item() < 2


def test_the_tables_are_tidy_and_repeat_whatever_the_threads_and_other_seeds():
    made = train_networks("digits", [3, 4], [1, 2], **TUNED)
    runs, curves, tuning = made
    assert len(runs) == 2 * 2 * 2 and len(curves) == len(runs) * (1 + 2)
    assert not runs.duplicated(["network", "arm", "seed"]).any()
    assert not curves.duplicated(["network", "arm", "seed", "epoch"]).any()
    assert (curves.train_loss.isna() == (curves.epoch == 0)).all()
    assert len(tuning) == 2 * 2 * 2 and (tuning.seeds == 2).all()
    torch.set_num_threads(2)
    alone = train_networks("digits", [4], [1, 2], **TUNED)
    for table, other in zip((*made[:2], tuning.assign(seed=4)), alone, strict=True):
        rest = table[table.seed == 4].reset_index(drop=True)
        pd.testing.assert_frame_equal(rest[[*other]], other, check_exact=True)


def test_each_arm_trains_at_the_rate_that_is_best_on_the_tuning_seeds(monkeypatch):
    """Whatever the study's seeds are: none of them is trained at another rate."""
    trained, plain = [], digits.train_cell

    def watched(source, name, arm, seeds, *, learning_rate, **settings):
        trained.extend((name, arm, learning_rate, seed) for seed in seeds)
        return plain(source, name, arm, seeds, learning_rate=learning_rate, **settings)

    monkeypatch.setattr(digits, "train_cell", watched)
    runs, _, tuning = train_networks("digits", [3, 4], [1, 2], **TUNED)
    best = tuning[tuning["rank"] == 1].set_index(["network", "arm"]).learning_rate
    assert len(best) == 4
    for seed in (3, 4):
        at = [one[:3] for one in trained if one[3] == seed]
        assert sorted(at) == sorted((*cell, rate) for cell, rate in best.items())
    chosen = runs.set_index(["network", "arm"]).learning_rate
    assert all((chosen[cell] == rate).all() for cell, rate in best.items())
    _, _, others = train_networks("digits", [5], [1, 2], **TUNED)
    pd.testing.assert_frame_equal(tuning, others, check_exact=True)


def tried(epochs):
    """Tuning runs from {rate: epochs to the threshold, one per seed}; infinite: it diverged."""
    return pd.DataFrame(
        {
            "network": "dense",
            "arm": "none",
            "seed": seed,
            "learning_rate": rate,
            "epochs_to_threshold": min(value, 9.0),
            "final_validation_loss": np.nan if np.isinf(value) else 0.1,
        }
        for rate, values in epochs.items()
        for seed, value in enumerate(values)
    )


def test_the_least_geometric_mean_of_the_epochs_is_chosen():
    """4 and 9 have the mean 6.5 and the geometric mean 6; 6.2 has the smaller mean alone."""
    table = choose(tried({0.1: [4, 9], 0.03: [6.2, 6.2], 0.3: [7, 8], 0.01: [1, math.inf]}))
    assert list(table.learning_rate) == [0.1, 0.03, 0.3, 0.01]
    assert list(table["rank"]) == [1, 2, 3, 4] and list(table.diverged) == [0, 0, 0, 1]
    assert table.score.iloc[0] == pytest.approx(6) and np.isinf(table.score.iloc[3])
    assert table.over_best.iloc[1] == pytest.approx(6.2 / 6)
    assert list(table.at_edge) == [False, False, True, True]
    assert set(table.network) == {"dense"} and set(table.arm) == {"none"}


def test_of_equal_rates_the_smaller_is_chosen():
    assert choose(tried({0.3: [2, 3], 0.03: [3, 2], 0.1: [9, 9]})).learning_rate.iloc[0] == 0.03


@pytest.mark.parametrize(
    ("losses", "epochs", "reached"),
    [
        ([2, 1, 0.5, 0.125], 3, True),  # exactly at the end of an epoch
        ([2, 0.5, 0.03125], 1.5, True),  # 0.125 is two halvings of four from there
        ([2, 0.03125, 3, 0.01], 2 / 3, True),  # four of six; what comes later does not matter
        ([2, 1, 0.5], 2, False),
        ([2, 1, math.nan, math.nan], 3, False),
    ],
)
def test_the_crossing_is_interpolated_in_the_logarithm_of_the_loss(losses, epochs, reached):
    """Of powers of two the threshold 1/8 is crossed where as many halvings say."""
    assert epochs_to(np.array(losses, float), 0.125) == (pytest.approx(epochs), reached)


def test_runs_are_measured_by_their_curves():
    runs, curves = digits.train_cell("digits", "dense", "none", [3], **CELL, learning_rate=0.01)
    losses = curves.validation_loss.to_numpy()
    assert losses[0] > losses[1] > losses[2] and list(curves.epoch) == [0, 1, 2]
    run = runs.iloc[0]
    assert (run.epochs_to_threshold, run.reached) == epochs_to(losses, 2.0)
    assert run.reached and 0 < run.epochs_to_threshold < 2
    assert run.final_validation_loss == losses[-1]


def test_a_run_that_diverges_is_recorded_and_its_rate_is_the_worst():
    settings = TUNED | {"learning_rates": [0.01, 1e308]}
    runs, _, tuning = train_networks("digits", [3], [1], **settings)
    assert (runs.learning_rate == 0.01).all()
    worst = tuning[tuning.learning_rate == 1e308]
    assert worst.diverged.any() and (worst["rank"] == 2).all()
    lost, curves = digits.train_cell("digits", "dense", "none", [3], **CELL, learning_rate=1e308)
    assert not np.isfinite(lost.final_validation_loss.item()) and len(curves) == 3
    assert not lost.reached.item() and lost.epochs_to_threshold.item() == 2
