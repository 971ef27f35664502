"""The loss has the infimum 0, with BN and without: eight units, by hand."""

import numpy as np
import pytest
import torch
from jobs import BATCH_NORM, data_of, network_of

from bnstudy.analysis.infimum import EPSILONS, eight_units, infimum, loss_of_eight_units
from bnstudy.config import members


def test_the_loss_falls_as_the_fourth_power():
    """4.5e-5, 3.7e-7 and 4.6e-9 at ε = 1e-2, 3e-3, 1e-3 were found before this was written, on a
    sample of inputs; over samples of 1,000 the loss scatters by some 10 %. The error of either
    limit is of order ε²."""
    found = infimum()
    assert list(found.values()) == pytest.approx([4.5e-5, 3.7e-7, 4.6e-9], rel=0.1)
    slopes = np.diff(np.log(list(found.values()))) / np.diff(np.log(EPSILONS))
    np.testing.assert_allclose(slopes, 4, atol=0.02)


def test_the_targets_are_the_articles():
    data = data_of([1], 1000, 1)
    x, t = data.train_inputs[0], data.train_targets[0]
    np.testing.assert_allclose(members.load("tasks", "article").targets(x), t)
    assert loss_of_eight_units(1e-2, x, t) == pytest.approx(4.5e-5, rel=0.15)


def put(network, epsilon, inputs):
    """The eight units into a network; with BN by its scale and shift, the weights being whatever
    has the right direction."""
    W, b, V, c = map(torch.from_numpy, eight_units(epsilon))
    with torch.no_grad():
        network.output.weight[0], network.output.bias[0, 0] = V, c
        if network.norm is None:
            network.hidden.weight[0], network.hidden.bias[0, 0] = W, b
            return
        network.hidden.weight[0] = 7 * W
        z = inputs @ (7 * W)
        std = (z.var(dim=1, correction=1) + BATCH_NORM["epsilon"]).sqrt()
        network.norm.scale[0] = std / 7
        network.norm.shift[0, 0] = b + z.mean(dim=1)[0] / 7


@pytest.mark.parametrize("arm", ["none", "batch"])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_either_arm_has_these_networks(arm, epsilon):
    """In training mode, on the full batch: their loss is the formula's."""
    data = data_of([1], 1000, 1)
    x, t = (torch.from_numpy(part) for part in (data.train_inputs, data.train_targets))
    network = network_of(arm, 8, [1], x).train()
    put(network, epsilon, x)
    with torch.no_grad():
        loss = (network(x) - t).square().sum() / 1000
    expected = loss_of_eight_units(epsilon, data.train_inputs[0], data.train_targets[0])
    assert loss.item() == pytest.approx(expected, rel=1e-3)
