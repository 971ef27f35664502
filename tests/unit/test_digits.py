"""The digits: the split, the pairing of the arms, and what a run is measured by."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from bnstudy.analysis.outcomes import digits_pairs
from bnstudy.experiment.digits import (
    ARMS,
    NETWORKS,
    make_network,
    make_split,
    train,
    train_networks,
)

SIZES = {"widths": [32, 32], "channels": [8, 16]}
TRAINING = {"epochs": 2, "batch_size": 128, "learning_rate": 0.01}
SETTINGS = {"widths": [8], "channels": [2, 3], "validation_share": 0.25, "threshold": 2.0}


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(network: torch.nn.Sequential) -> list[torch.Tensor]:
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    layers = [layer for layer in network if isinstance(layer, kinds)]
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias)]


def test_a_split_is_stratified_repeats_and_differs_between_seeds():
    """1797 images, 174 to 183 of each digit (scikit-learn's documentation of load_digits)."""
    split = make_split(3, 0.25)
    assert len(split.train_labels) == 1347 and len(split.validation_labels) == 450
    train_counts = split.train_labels.bincount()
    validation_counts = split.validation_labels.bincount()
    assert (train_counts + validation_counts).min() == 174
    assert (train_counts + validation_counts).max() == 183
    assert ((validation_counts - (train_counts + validation_counts) / 4).abs() < 1).all()
    again, other = make_split(3, 0.25), make_split(4, 0.25)
    assert all(torch.equal(a, b) for a, b in zip(split, again, strict=True))
    assert not torch.equal(split.train_labels, other.train_labels)


def test_the_parts_hold_every_image_once_at_the_training_parts_scale():
    split = make_split(3, 0.25)
    images = split.train_images
    assert images.shape == (1347, 1, 8, 8) and images.dtype == torch.float32
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std().item() == pytest.approx(1, rel=1e-4)
    both = torch.cat([images, split.validation_images]).flatten(1)
    assert len(both.unique(dim=0)) == 1797  # no two digits are alike, so none is there twice


@pytest.mark.parametrize(
    ("name", "parameters", "of_bn"),
    [
        ("dense", 64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10, 2 * (32 + 32)),
        ("convolutional", 9 * 8 + 8 + 9 * 8 * 16 + 16 + 2 * 2 * 16 * 10 + 10, 2 * (8 + 16)),
    ],
)
def test_the_networks_have_the_parameters_counted_by_hand(name, parameters, of_bn):
    for arm, expected in (("none", parameters), ("batch", parameters + of_bn)):
        network = make_network(name, arm, generator(), **SIZES)
        assert sum(p.numel() for p in network.parameters()) == expected
        assert network(torch.zeros(5, 1, 8, 8)).shape == (5, 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_arms_share_weights_and_the_order_of_minibatches(name):
    ours, theirs = generator(), generator()
    none = make_network(name, "none", ours, **SIZES)
    batch = make_network(name, "batch", theirs, **SIZES)
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
    split = make_split(1, 0.25)
    for name in NETWORKS:
        shuffle = generator()
        network = make_network(name, "batch", shuffle, **SIZES)
        start = torch.nn.functional.cross_entropy(network(split.train_images), split.train_labels)
        assert start.item() == pytest.approx(math.log(10), rel=0.15)
        curve = train(network, split, shuffle, epochs=6, batch_size=64, learning_rate=0.005)
        assert curve.validation_loss.iloc[-1] < 0.5 and curve.validation_accuracy.iloc[-1] > 0.85


def test_the_tables_are_tidy_and_repeat_whatever_the_threads_and_other_seeds():
    runs, curves = train_networks([3, 4], **SETTINGS, **TRAINING)
    assert len(runs) == 2 * 2 * 2 and len(curves) == len(runs) * 2
    assert not runs.duplicated(["network", "arm", "seed"]).any()
    assert not curves.duplicated(["network", "arm", "seed", "epoch"]).any()
    torch.set_num_threads(2)
    for table, alone in zip(
        (runs, curves), train_networks([4], **SETTINGS, **TRAINING), strict=True
    ):
        rest = table[table.seed == 4].reset_index(drop=True)
        pd.testing.assert_frame_equal(rest, alone, check_exact=True)


def test_a_run_is_measured_by_the_first_epoch_at_or_below_the_threshold():
    _, curves = train_networks([3], **SETTINGS, **TRAINING)
    losses = curves[(curves.network == "dense") & (curves.arm == "none")].validation_loss.to_list()
    assert losses[0] > losses[1]
    for threshold, needed, reached in (
        (losses[0], 1, True),
        (losses[1], 2, True),
        (losses[1] / 2, 2, False),
    ):
        runs, _ = train_networks([3], **SETTINGS | {"threshold": threshold}, **TRAINING)
        run = runs.iloc[0]
        assert (run.epochs_to_threshold, run.reached) == (needed, reached)
        assert run.final_validation_loss == losses[-1]


def test_a_run_that_diverges_is_recorded():
    runs, curves = train_networks([3], **SETTINGS, **TRAINING | {"learning_rate": 1e38})
    assert len(runs) == len(NETWORKS) * len(ARMS) and len(curves) == 2 * len(runs)
    lost = runs[~np.isfinite(runs.final_validation_loss)]
    assert len(lost) and not lost.reached.any() and (lost.epochs_to_threshold == 2).all()


def test_log_ratios_are_paired_by_seed():
    rows = [
        ("dense", "none", 2, 8, True),
        ("dense", "batch", 2, 4, True),
        ("dense", "batch", 1, 6, False),
        ("dense", "none", 1, 2, True),
        *(("convolutional", arm, seed, 3, True) for arm in ("none", "batch") for seed in (1, 2)),
    ]
    columns = ["network", "arm", "seed", "epochs_to_threshold", "reached"]
    table = pd.DataFrame(rows, columns=columns)
    _, _, d, (none, batch) = digits_pairs(table, "dense")
    assert d == pytest.approx([math.log(3), math.log(0.5)])
    assert not none.any() and list(batch) == [True, False]
    assert digits_pairs(table, "another")[2].shape == (0,)
    dense, convolutional, d, (of_dense, of_convolutional) = digits_pairs(table, "interaction")
    assert d == pytest.approx([math.log(1 / 3), math.log(2)])
    assert dense == pytest.approx([3, 0.5]) and convolutional == pytest.approx([1, 1])
    assert list(of_dense) == [True, False] and not of_convolutional.any()
