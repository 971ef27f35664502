"""Derivatives of the train loss by definition, differences and sums; condition numbers of known
matrices; Adam's coordinates by Adam's steps; the table of a cell."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from jobs import data_of, network_of, settings_of

from bnstudy.analysis.collect import BlockOfScope
from bnstudy.analysis.curvature import (
    COLUMNS,
    STABLE_BELOW,
    STEPS,
    condition_effective,
    condition_median,
    curvature_of_cell,
    curvature_table,
    largest_eigenvalue,
    measure,
    preconditioner,
    rate_of,
    untrained,
)
from bnstudy.analysis.train_loss import TrainLoss
from bnstudy.config import members
from bnstudy.config.cell import SETTINGS, UNTUNED
from bnstudy.experiment.block import BlockFiles, make_training, train_block
from bnstudy.experiment.data import write_data
from bnstudy.experiment.optimizers.adam import BETA1, BETA2, EPSILON
from bnstudy.experiment.snapshots import Snapshot
from bnstudy.files import read_tensors

SAMPLES, WIDTH = 40, 5
ADAMS = ("preconditioned_sharpness", "stability", "condition_effective_adam")


def trained(arm, epochs=3, seed=2, **changes):
    """Training after some epochs, and a snapshot of its one network."""
    changes = {"learning_rate": 0.03, "epochs": 30} | changes
    settings, data = settings_of(arm, WIDTH, **changes), data_of([seed], SAMPLES, 1)
    training = make_training(data, settings)
    for _ in range(epochs):
        training.epoch()
    taken = training.snapshot()
    moments = taken.get("second_moment")
    snapshot = Snapshot(
        epoch=epochs - 1,
        seed=seed,
        settings=settings,
        network=training.network,
        inputs=data.test_inputs[0],
        targets=data.test_targets[0],
        train_inputs=data.train_inputs[0],
        train_targets=data.train_targets[0],
        parameters=taken["parameters"][0].numpy(),
        gradient=taken["gradients"][0].numpy(),
        second_moment=None if moments is None else moments[0].numpy(),
    )
    return training, snapshot


def loss_of(arm, **changes):
    _, snapshot = trained(arm, **changes)
    return TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)


def differences(function, theta, step):
    """Central differences of a function along each parameter, a row each."""
    steps = step * np.eye(len(theta))
    return np.array([(function(theta + e) - function(theta - e)) / (2 * step) for e in steps])


def close(found, expected, rel):
    """To `rel` of the largest."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=rel * np.abs(expected).max())


# --- Derivatives of the train loss ----------------------------------------------------------------


@pytest.mark.parametrize("arm", members.names("arms"))
def test_closed_forms_are_what_they_are_the_closed_forms_of(arm):
    loss = loss_of(arm)
    for found, expected in zip(loss.second_order(), loss.by_definition(), strict=True):
        close(found, expected, 1e-12)


@pytest.mark.parametrize("arm", ["none", "batch", "weight-norm", "layer-norm"])
def test_the_derivatives_are_those_by_differences_and_sums(arm):
    """The gradient by differences of the loss, the Hessian by differences of the gradient, JᵀJ as a
    sum over samples and outputs of J by differences of the outputs."""
    loss = loss_of(arm)
    theta, (G, H) = loss.parameters, loss.second_order()

    def value(theta):
        return loss.value(torch.from_numpy(theta)).item()

    def outputs(theta):
        return loss.outputs(torch.from_numpy(theta))[0].detach().numpy()

    close(loss.gradient(theta), differences(value, theta, 1e-5), 1e-8)
    close(H, differences(loss.gradient, theta, 1e-5), 1e-8)
    J = differences(outputs, theta, 1e-5)  # (parameter, sample, output)
    summed = sum(np.outer(J[:, i, k], J[:, i, k]) for i in range(SAMPLES) for k in range(3))
    close(G, 2 / SAMPLES * summed, 1e-8)


@pytest.mark.parametrize("arm", ["none", "batch", "centred"])
def test_the_loss_is_that_of_training(arm):
    """What the compiled pass sums on the whole training set in the next step, before its update."""
    training, snapshot = trained(arm)
    loss = TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)
    value = loss.value(torch.from_numpy(loss.parameters)).item()
    assert value == pytest.approx(training.epoch().train.item() / SAMPLES, rel=1e-12)


def test_nothing_is_dropped():
    loss = loss_of("dropout")
    hidden, output = loss.network.hidden, loss.network.output
    expected = output(torch.tanh(hidden(loss.x)))
    torch.testing.assert_close(loss.outputs(torch.from_numpy(loss.parameters)), expected)


def test_looking_changes_neither_the_network_nor_what_is_seen_next():
    """BN with its running values, also where the next step would freeze them."""
    for arm in ("batch", "batch-frozen"):
        _, snapshot = trained(arm, epochs=24)
        before = {name: value.clone() for name, value in snapshot.network.state_dict().items()}
        first, second = measure(snapshot), measure(snapshot)
        assert first == second
        after = snapshot.network.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_where_bn_is_frozen_its_statistics_are_constants():
    """The last fifth of 30 epochs: the loss is that with the running values, in evaluation mode."""
    _, snapshot = trained("batch-frozen", epochs=26)
    loss = TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)
    with torch.no_grad():
        y = snapshot.network.eval()(loss.x)
    expected = (y - loss.t).square().sum().item() / SAMPLES
    assert loss.value(torch.from_numpy(loss.parameters)).item() == pytest.approx(expected)


def test_of_linear_least_squares_newtons_step_is_the_solution():
    """y = features · (V, c) is linear in the output layer: there G = H, and one step solves it."""
    loss = loss_of("none")
    theta, (G, H) = loss.parameters, loss.second_order()
    last = slice(4 * WIDTH, None)
    np.testing.assert_array_equal(G[last, last], H[last, last])
    step = np.linalg.solve(H[last, last], loss.gradient(theta)[last])
    z = loss.network.pre_activations(loss.x)[0].detach().numpy()
    features = np.column_stack([np.tanh(z), np.ones(SAMPLES)])
    solution, *_ = np.linalg.lstsq(features, loss.t[0].numpy())
    np.testing.assert_allclose((theta[last] - step).reshape(-1, 3), solution, rtol=1e-9)


def test_at_step_0_none_and_batch_matched_are_one_function_in_two_coordinates():
    """The same outputs, loss, and derivatives in the output layer, which is not reparametrised;
    other curvature."""
    none, matched = (untrained(trained(arm)[1]) for arm in ("none", "batch-matched"))
    losses = [TrainLoss(s.network, s.train_inputs, s.train_targets) for s in (none, matched)]
    outputs = [loss.outputs(torch.from_numpy(loss.parameters)).detach() for loss in losses]
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    output = slice(-3 * (WIDTH + 1), None)
    gradients = [loss.gradient(loss.parameters)[output] for loss in losses]
    np.testing.assert_allclose(*gradients, rtol=1e-9)
    for first, second in zip(*(loss.second_order() for loss in losses), strict=True):
        np.testing.assert_allclose(first[output, output], second[output, output], rtol=1e-9)
    found = [measure(snapshot) for snapshot in (none, matched)]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-12)
    for column in set(COLUMNS) - {"loss"}:
        assert found[0][column] != pytest.approx(found[1][column], rel=0.01)


def test_the_bias_before_bn_has_no_curvature_and_no_part_in_condition_numbers():
    _, snapshot = trained("batch")
    loss = TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)
    (G, H), gradient = loss.second_order(), loss.gradient(loss.parameters)
    bias = slice(3 * WIDTH, 4 * WIDTH)
    for derivative in (gradient, G, H):
        assert np.abs(derivative[bias]).max() <= 1e-12 * np.abs(derivative).max()
    found = measure(snapshot)
    assert all(np.isfinite(list(found.values())))
    rest = np.delete(np.arange(len(gradient)), bias)
    eigenvalues, eigenvectors = np.linalg.eigh(G[np.ix_(rest, rest)])
    rotated = eigenvectors.T @ gradient[rest]
    without = condition_median(eigenvalues, rotated, found["loss"])
    assert without == pytest.approx(found["condition_median"], rel=1e-6)


# --- Condition numbers ----------------------------------------------------------------------------

LAMBDA = np.array([1.0, 4.0, 100.0])


@pytest.mark.parametrize("index", range(3))
def test_of_a_quadratic_with_the_error_along_one_eigenvector(index):
    """L = ½ Σ λ e²: both condition numbers are λmax over that vector's eigenvalue."""
    error = np.eye(3)[index]
    gradient, loss = LAMBDA * error, float(LAMBDA @ error**2 / 2)
    expected = pytest.approx(100 / LAMBDA[index])
    assert condition_effective(100.0, gradient, loss) == expected
    assert condition_median(LAMBDA, gradient, loss) == expected


def test_of_a_quadratic_with_any_error():
    """Shares of the loss .3, .6, .1: the mean eigenvalue is .3 + 2.4 + 10 = 12.7; from above .1 at
    100, .7 down to 4. With .6 at 1 half of the loss is reached only there."""
    for shares, median in ((np.array([0.3, 0.6, 0.1]), 25), (np.array([0.6, 0.3, 0.1]), 100)):
        gradient = np.sqrt(2 * shares * LAMBDA)
        mean = LAMBDA @ shares
        assert condition_effective(100.0, gradient, 1.0) == pytest.approx(100 / mean)
        assert condition_median(LAMBDA, gradient, 1.0) == pytest.approx(median)


def test_flat_directions_have_no_share():
    """Eigenvalues of 0 but for rounding, of either sign; what of the loss lies along none counts as
    flat, and if it is more than half there is no median."""
    eigenvalues = np.array([-1e-15, 0.0, 1e-16, *LAMBDA])
    gradient = np.array([1e-9, 1e-9, 1e-9, 0.0, np.sqrt(8), 0.0])  # a loss of 1 at λ = 4
    assert condition_median(eigenvalues, gradient, 1.9) == pytest.approx(25)
    assert np.isnan(condition_median(eigenvalues, gradient, 2.1))
    assert condition_effective(100.0, gradient, 2.1) == pytest.approx(25 * 2.1)


def test_the_largest_eigenvalue_is_that_of_lapack():
    """The largest, not that of the largest size; also where all are far below 1."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(60, 60)))
    for scale in (1.0, 1e-9):
        matrix = scale * basis * np.r_[-9.0, 3.0, np.linspace(-1, 1, 58)] @ basis.T
        assert largest_eigenvalue(matrix) == pytest.approx(3 * scale, rel=1e-12)


# --- As the optimizer sees it ---------------------------------------------------------------------


def test_adam_is_stable_on_a_quadratic_up_to_38():
    """m ← β₁ m + (1 - β₁) λ x, x ← x - rate · m, as a linear map; Cohen et al. 2022: 38/rate."""
    assert pytest.approx(38) == STABLE_BELOW

    def radius(curvature):
        pull = (1 - BETA1) * curvature
        return np.abs(np.linalg.eigvals([[1 - pull, -BETA1], [pull, BETA1]])).max()

    assert radius(0.999 * STABLE_BELOW) < 1 < radius(1.001 * STABLE_BELOW)


@pytest.mark.parametrize("arm", ["none", "batch"])
def test_adams_first_step_is_the_gradient_over_the_untrained_networks_preconditioner(arm):
    """But for the bias before BN, whose gradient is 0 in training and 1e-17 by autograd."""
    training, snapshot = trained(arm, epochs=1)
    snapshot = untrained(snapshot)
    loss = TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)
    gradient = loss.gradient(loss.parameters)
    P = preconditioner(snapshot, gradient)
    stepped = loss.parameters - rate_of(snapshot) * gradient / P
    moved = np.abs(gradient) > 1e-12 * np.abs(gradient).max()
    assert moved.sum() == len(moved) - (WIDTH if arm == "batch" else 0)
    np.testing.assert_allclose(training.parameters[0].numpy()[moved], stepped[moved], rtol=1e-12)


def test_the_preconditioner_is_the_mean_of_squared_gradients_corrected_for_its_start():
    """Of the three steps' gradients of the summed loss, as Adam's v̂, in units of the mean one."""
    gradients = []
    for epoch in range(3):
        _, snapshot = trained("none", epochs=epoch)
        loss = TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)
        gradients.append(SAMPLES * loss.gradient(loss.parameters))
    weights = BETA2 ** np.array([2, 1, 0])
    mean = weights @ np.square(gradients) / weights.sum()
    _, snapshot = trained("none", epochs=3)
    found = preconditioner(snapshot, np.zeros_like(mean))
    np.testing.assert_allclose(found, (np.sqrt(mean) + EPSILON) / SAMPLES, rtol=1e-9)
    with_minibatches = replace(snapshot, settings=snapshot.settings | {"batch_size": 16})
    steps = 3 * 3  # of 40 samples in 16s
    expected = np.sqrt(snapshot.second_moment / (1 - BETA2**steps)) / 16
    np.testing.assert_allclose(preconditioner(with_minibatches, mean), expected, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"schedule": "cosine"}, {"batch_size": 16}])
@pytest.mark.parametrize("epochs", [0, 1, 20])
def test_the_rate_is_that_of_the_last_step(changes, epochs):
    training, snapshot = trained("none", epochs=epochs, **changes)
    steps = training.steps_done
    assert rate_of(snapshot) == training.rate(step=max(steps - 1, 0))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_over_short_steps_the_gradient_changes_by_the_hessian(optimizer):
    """By rate · H P⁻¹ ∇L for each step, up to four of them; what SGD's P would be is 1."""
    _, snapshot = trained("batch", optimizer=optimizer, learning_rate=1e-7)
    loss = TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)
    gradient, (_, H) = loss.gradient(loss.parameters), loss.second_order()
    P = preconditioner(snapshot, gradient)
    assert (P is None) == (optimizer == "sgd")
    change = max(STEPS) * 1e-7 * H @ (gradient if P is None else gradient / P)
    expected = np.linalg.norm(change) / np.linalg.norm(gradient)
    found = measure(snapshot)
    assert found["gradient_change"] == pytest.approx(expected, rel=1e-4)
    assert {column for column in COLUMNS if np.isnan(found[column])} == set(
        ADAMS if P is None else ()
    )


def test_adams_measures_are_those_of_the_loss_in_adams_coordinates():
    """L(P^(-1/2) u) by differences: its largest eigenvalue and condition number."""
    _, snapshot = trained("none")
    loss, found = loss_of("none"), measure(snapshot)
    gradient = loss.gradient(loss.parameters)
    root = preconditioner(snapshot, gradient) ** 0.5

    def turned(u):
        return loss.gradient(u / root) / root

    H = differences(turned, root * loss.parameters, 1e-5)
    sharpness = np.linalg.eigvalsh((H + H.T) / 2)[-1]
    assert found["preconditioned_sharpness"] == pytest.approx(sharpness, rel=1e-6)
    assert found["stability"] == pytest.approx(0.03 * sharpness / 38, rel=1e-6)
    G, _ = loss.second_order()
    steepest = np.linalg.eigvalsh(G / np.outer(root, root))[-1]
    at_u = turned(root * loss.parameters)
    expected = condition_effective(steepest, at_u, found["loss"])
    assert found["condition_effective_adam"] == pytest.approx(expected, rel=1e-9)


def test_of_a_network_that_diverged_nothing_is_known():
    _, snapshot = trained("none")
    with torch.no_grad():
        snapshot.network.output.bias.fill_(np.inf)
    found = measure(snapshot)
    assert list(found) == list(COLUMNS) and np.isnan(list(found.values())).all()


# --- The table of a cell --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def block(tmp_path_factory):
    """A block of three seeds with six snapshots."""
    root, seeds = tmp_path_factory.mktemp("results"), [1, 2, 3]
    settings = settings_of("batch", WIDTH)
    data = root / "datasets/article-plain/seeds_1.npz"
    write_data(data, data_of(seeds, SAMPLES, 1))
    folder = root / "runs/batch-w5/seeds_1"
    names = ("curves.parquet", "snapshots.safetensors", "checkpoint.safetensors", "record.json")
    options = {"settings": settings, "code": "0", "snapshot_epochs": [0, 1, 3, 7, 15, 29]}
    train_block(data, BlockFiles(*(folder / name for name in names)), seeds=seeds, **options)
    return folder


def test_a_cells_table_has_the_untrained_network_and_some_of_the_saved(block):
    table = curvature_of_cell([BlockOfScope(block, [1, 3])], points=3)
    assert list(table) == ["cell", *SETTINGS, "seed", "epoch", *COLUMNS]
    assert table.seed.tolist() == [1] * 4 + [3] * 4
    assert table.epoch.tolist() == [-1, 0, 3, 29] * 2  # of six the first, the third, the last
    assert set(table.cell) == {"batch-w5"} and set(table.tuned_for) == {UNTUNED["tuned_for"]}
    alone = curvature_of_cell([BlockOfScope(block, [3])], points=3)
    rest = table[table.seed == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, rest, check_exact=True)
    both = curvature_table([table, alone])
    assert len(both) == 12 and list(curvature_table([])) == list(both)
    every = curvature_of_cell([BlockOfScope(block, [1])], points=50)
    assert every.epoch.tolist() == [-1, 0, 1, 3, 7, 15, 29]


def test_a_row_is_of_the_network_saved_at_its_epoch(block):
    """The loss after the last epoch, by the saved parameters; before the first by a new network."""
    table = curvature_of_cell([BlockOfScope(block, [2])], points=2).set_index("epoch")
    data = data_of([1, 2, 3], SAMPLES, 1).select([2])
    inputs = torch.from_numpy(data.train_inputs)
    network = network_of("batch", WIDTH, [2], inputs)
    loss = TrainLoss(network, data.train_inputs[0], data.train_targets[0])
    assert table.loss[-1] == loss.value(torch.from_numpy(loss.parameters)).item()
    saved = read_tensors(block / "snapshots.safetensors")
    last = torch.from_numpy(saved["parameters"][-1, 1])
    assert table.loss[29] == pytest.approx(loss.value(last).item(), rel=1e-12)
    assert table.loss[29] < table.loss[-1]
