"""What is measured inside a network, against closed forms and autograd."""

import numpy as np
import pytest
import torch

from bnstudy.data import make_data, targets
from bnstudy.features import MEASURES, effective_rank, jacobian, measure, target_jacobian
from bnstudy.networks import make_network

RANGES = {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]}
BN = {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}


@pytest.fixture
def network():
    inputs = torch.from_numpy(make_data([1, 2], 50, 20, RANGES).train_inputs)
    network = make_network("batch", 6, [1, 2], batch_norm=BN)
    network(inputs)  # running values that are not the initial ones
    return network.eval()


def test_the_networks_jacobian_is_autograds(network):
    x = torch.from_numpy(make_data([1, 2], 50, 20, RANGES).test_inputs)
    folded = network.fold(None)
    for r in range(2):
        A, a = (part[r].detach().numpy() for part in folded)
        h = np.tanh(x[r].numpy() @ A + a)
        ours = jacobian(h, A, network.output.weight[r].detach().numpy())
        for point in range(3):

            def output(p, r=r):
                return network(p.expand(2, 1, 3))[r, 0]

            expected = torch.autograd.functional.jacobian(output, x[r, point])
            np.testing.assert_allclose(ours[point], expected.numpy(), rtol=1e-12, atol=1e-12)


def test_the_targets_jacobian_is_that_of_the_targets():
    """By central differences, exact for polynomials of degree 2."""
    x, step = np.random.default_rng(0).uniform(-1, 1, (5, 3)), 1e-3
    for axis in range(3):
        e = step * np.eye(3)[axis]
        difference = (targets(x + e) - targets(x - e)) / (2 * step)
        np.testing.assert_allclose(target_jacobian(x)[:, :, axis], difference, atol=1e-10)


def test_the_mean_norm_of_the_targets_jacobian():
    """9.07, STUDY's number; E ‖J*‖² = 14 + 50 + 4·(1 + 4 + 9)/3 gives 9.10 as its upper bound."""
    x = np.random.default_rng(0).uniform(-1, 1, (200_000, 3))
    mean = np.linalg.norm(target_jacobian(x), axis=(1, 2)).mean()
    assert mean == pytest.approx(9.07, abs=0.005)
    assert mean < np.sqrt(64 + 4 * 14 / 3)


def test_effective_rank_of_known_spectra():
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.normal(size=(40, 4)) - 0)
    u, _ = np.linalg.qr(u - u.mean(axis=0))  # columns of mean 0, orthonormal
    v, _ = np.linalg.qr(rng.normal(size=(6, 4)))
    equal = u @ np.diag([3.0, 3, 3, 3]) @ v.T + 5  # the constant is removed by centring
    assert effective_rank(equal) == pytest.approx(4, rel=1e-12)
    shares = np.array([8.0, 4, 2, 2]) / 16
    entropy = 1 / 2 * np.log(2) + 1 / 4 * np.log(4) + 2 / 8 * np.log(8)  # = 1.75 ln 2
    assert effective_rank(u @ np.diag(shares) @ v.T) == pytest.approx(np.exp(entropy), rel=1e-12)


def test_effective_rank_of_nothing_is_not_a_number():
    assert np.isnan(effective_rank(np.ones((5, 3))))
    assert np.isnan(effective_rank(np.full((5, 3), np.inf)))


def test_all_measures_by_hand(network):
    """Straight from the definitions, through the unfolded network."""
    x = torch.from_numpy(make_data([1, 2], 50, 20, RANGES).test_inputs)
    gradients = {"a": torch.tensor([[3.0, 0], [1, 2]]), "b": torch.tensor([[4.0], [2]])}
    got = measure(network, x, gradients, saturation=0.5)
    assert tuple(got) == MEASURES
    with torch.no_grad():
        z = network.norm(network.hidden(x))
        np.testing.assert_allclose(got["mean_abs_z"], z.abs().mean(dim=(1, 2)))
        saturated = (z.tanh().abs() > 0.5).double().mean(dim=(1, 2))
        np.testing.assert_allclose(got["saturated_share"], saturated)
        weights = network.fold(None).weight.norm(dim=1) * network.output.weight.norm(dim=2)
        np.testing.assert_allclose(got["path_norm"], weights.sum(dim=1))
    np.testing.assert_allclose(got["gradient_norm"], [5, 3])


def test_measures_do_not_depend_on_the_other_replicates():
    data = make_data([1, 2, 3], 50, 20, RANGES)
    x = torch.from_numpy(data.test_inputs)
    whole = measure(make_network("none", 9, [1, 2, 3]), x, {"g": torch.ones(3, 2)}, 0.9)
    alone = measure(make_network("none", 9, [2]), x[1:2], {"g": torch.ones(1, 2)}, 0.9)
    for name in MEASURES:
        assert whole[name][1] == alone[name][0]
