"""Deep networks in training: against PyTorch's own layers and Adam; what a run is measured by."""

import numpy as np
import pandas as pd
import pytest
import torch
from jobs import BATCH_NORM, RANGES, data_of
from torch import nn

from bnstudy.experiment.depth import initial_weights
from bnstudy.experiment.depth_training import make_stack, measured, train, train_stacks

SMALL = {
    "width": 6,
    "depth": 4,
    "scales": [0.5, 1.5],
    "learning_rates": [0.01, 0.03],
    "points": 20,
    "epochs": 30,
    "threshold": 15.0,
    "ranges": RANGES,
    "batch_norm": BATCH_NORM,
}
LIKE_PYTORCH = {"momentum": 0.9, "epsilon": 1e-5, "correction": 0}


def reference(weights: list[torch.Tensor], norm: bool) -> nn.Sequential:
    """The same network of PyTorch's own layers."""
    layers: list[nn.Module] = []
    for weight in weights:
        linear = nn.Linear(*weight.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = (
            weight.T.clone(),
            torch.zeros(weight.shape[1]).double(),
        )
        bn = [nn.BatchNorm1d(weight.shape[1], dtype=torch.float64)] if norm else []
        layers += [linear, *bn, nn.Tanh()]
    return nn.Sequential(*layers[: -3 if norm else -2], linear)


@pytest.mark.parametrize("norm", [False, True])
def test_stacks_train_as_networks_of_pytorchs_layers_do(norm):
    seeds, depth, epochs = [3, 4], 6, 12
    data = data_of(seeds, 30, 1)
    drawn = [initial_weights(seed, width=7, depth=depth, scale=1.5) for seed in seeds]
    stack = make_stack(
        [torch.stack(w) for w in zip(*drawn, strict=True)], LIKE_PYTORCH if norm else None
    )
    losses = train(stack, data, learning_rate=0.01, epochs=epochs, threshold=0.0)
    for ours, weights, x, t in zip(
        losses, drawn, data.train_inputs, data.train_targets, strict=True
    ):
        network = reference(weights, norm)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for epoch in range(epochs):
            optimizer.zero_grad()
            loss = (network(torch.from_numpy(x)) - torch.from_numpy(t)).square().sum()
            loss.backward()
            optimizer.step()
            assert ours[epoch] == pytest.approx(loss.item() / 30, rel=1e-9)


def test_the_table_is_tidy_and_repeats_however_seeds_are_cut_into_blocks():
    table = train_stacks([5, 6, 7], **SMALL)
    key = ["scale", "norm", "learning_rate", "seed"]
    measures = ["final_loss", "epochs", "reached", "diverged"]
    assert list(table) == [*key, *measures] and not table.duplicated(key).any()
    assert len(table) == 2 * 2 * 2 * 3 and set(table.norm) == {"none", "batch"}
    assert 0 < table.reached.sum() < len(table) and table.epochs[table.reached].nunique() > 3
    torch.set_num_threads(2)
    for block in ([5], [6, 7]):
        alone = train_stacks(block, **SMALL)
        rest = table[table.seed.isin(block)].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, rest, check_exact=True)


def test_training_ends_with_the_last_network_that_gets_there():
    drawn = [initial_weights(seed, width=8, depth=3, scale=1.0) for seed in (3, 4)]
    stack = make_stack([torch.stack(w) for w in zip(*drawn, strict=True)], BATCH_NORM)
    losses = train(stack, data_of([3, 4], 30, 1), learning_rate=0.03, epochs=200, threshold=15.0)
    first = (losses <= 15).argmax(axis=1)
    assert (losses <= 15).any(axis=1).all() and losses.shape[1] == first.max() + 1 < 200


def test_networks_are_measured_up_to_the_epoch_in_which_they_get_there():
    """Of five epochs; what comes after does not count, whatever it is."""
    losses = np.array(
        [
            [9, 3, 1, 7, 0.5],
            [9, 8, 7, 6, 5],
            [9, np.inf, np.nan, np.nan, np.nan],
            [9, 0, np.nan, np.nan, np.nan],
        ]
    )
    found = measured(losses, threshold=2.0, budget=5)
    assert list(found["epochs"]) == [3, 5, 5, 2]
    assert list(found["reached"]) == [True, False, False, True]
    assert list(found["diverged"]) == [False, False, True, False]
    np.testing.assert_array_equal(found["final_loss"], [1, 5, np.nan, 0])


def test_without_bn_deep_networks_train_near_the_critical_weights_only():
    """The pilot's answer on seed 60 (config.yaml), within half of its budget."""
    settings = SMALL | {"width": 30, "depth": 20, "points": 100, "epochs": 150, "threshold": 2.258}
    settings |= {"scales": [0.25, 2.0, 5.0], "learning_rates": [0.003]}
    table = train_stacks([60], **settings).set_index(["scale", "norm"]).reached
    assert list(table[:, "none"]) == [False, True, False] and table[:, "batch"].all()
