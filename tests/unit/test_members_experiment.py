"""Every arm, task and optimizer, found as the study finds them; and each against an oracle."""

import numpy as np
import pytest
import torch
from jobs import BATCH_NORM, curves_of, data_of, defaults, network_of, settings_of, training_of

from bnstudy.config import members
from bnstudy.experiment.arms.centred import Centre
from bnstudy.experiment.arms.layer_norm import LayerNorm
from bnstudy.experiment.arms.rms_norm import RMSNorm
from bnstudy.experiment.arms.scaled import Scale
from bnstudy.experiment.arms.weight_norm import WeightNormLinear
from bnstudy.experiment.block import make_training
from bnstudy.experiment.data import ARTICLE_VARIANCE, INPUTS, task_jacobian
from bnstudy.experiment.evaluators import plain_objective
from bnstudy.experiment.layers import BatchNorm, Linear, Moments, split

ARMS, TASKS, OPTIMIZERS = (members.names(kind) for kind in ("arms", "tasks", "optimizers"))
CUT = [range(0, 3), range(3, 4), range(4, 10)]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def disturbed(module):
    """`module` with every parameter and running value moved away from where it starts."""
    with torch.no_grad():
        for index, tensor in enumerate(module.state_dict().values()):
            tensor.add_(normal(index, *tensor.shape).abs() / 4)
    return module


# Arms


def test_the_arms_of_the_first_edition_and_the_new_ones_are_found():
    first = {"none", "batch", "batch-matched", "none-standardized", "dropout"}
    parts = {"centred", "scaled", "batch-plain", "batch-frozen", "weight-norm", "whitened"}
    assert first | parts | {"layer-norm", "rms-norm"} <= set(ARMS)


def test_arms_can_be_told_apart_in_figures():
    looks = [members.declared("arms", arm) for arm in ARMS]
    for names in (["LABEL"], ["COLOUR"], ["MARKER"]):
        assert len({tuple(look[name] for name in names) for look in looks}) == len(ARMS)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_has_one_row_of_everything_per_seed(arm):
    network = network_of(arm, 7, [1, 2, 3])
    assert network.width == 7
    assert network(normal(1, 3, 11, 3)).shape == (3, 11, 3)
    for tensor in network.state_dict().values():
        assert len(tensor) == 3 and tensor.dtype == torch.float64


@pytest.mark.parametrize("arm", ARMS)
def test_what_a_replicate_does_does_not_depend_on_the_others(arm):
    x = normal(1, 3, 11, 3)
    whole, alone = network_of(arm, 7, [1, 2, 3], x), network_of(arm, 7, [2], x[1:2])
    torch.testing.assert_close(whole(x)[1:2], alone(x[1:2]), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("batch_size", ["full", 16])
@pytest.mark.parametrize("arm", ARMS)
def test_results_do_not_depend_on_how_seeds_are_cut_into_blocks(arm, batch_size):
    """Bit for bit: 10 = 3 + 1 + 6."""
    options = {"sizes": (100, 30), "batch_size": batch_size}
    whole = curves_of(arm, 37, range(10), 20, **options)
    cut = [curves_of(arm, 37, piece, 20, **options) for piece in CUT]
    np.testing.assert_array_equal(whole, np.concatenate(cut, axis=1))


@pytest.mark.parametrize("arm", ARMS)
def test_gradients_and_running_values_are_those_of_the_definition(arm):
    """To 1e-12 of the terms that are added up, for which the largest entry stands."""
    training, definition = (training_of(arm, 7, [1, 2], sizes=(50, 20)) for _ in range(2))
    training.optimizer_step = lambda *_, **__: None
    losses = training.epoch()
    network = definition.network.train()
    objective = plain_objective(network, definition.batches.batches[0])()
    torch.testing.assert_close(losses.train, objective.detach(), rtol=1e-12, atol=0)
    expected = torch.autograd.grad(objective.sum(), list(network.parameters()))
    largest = max(float(value.abs().max()) for value in expected)
    for ours, theirs in zip(
        split(training.gradients, training.network).values(), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12 * largest)
    for name, buffer in network.named_buffers():
        ours = training.network.get_buffer(name)
        torch.testing.assert_close(ours, buffer, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("arm", ARMS)
def test_gradients_are_slopes(arm):
    """By finite differences, of the definition in evaluation mode."""
    network = disturbed(network_of(arm, 4, [1, 2])).eval()
    x, names = normal(3, 2, 5, 3), [name for name, _ in network.named_parameters()]

    def output(*values):
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (x,))

    values = [p.detach().clone().requires_grad_() for p in network.parameters()]
    assert torch.autograd.gradcheck(output, values)


@pytest.mark.parametrize("arm", ARMS)
def test_the_way_that_trains_it_follows_the_definition(arm):
    """20 epochs. The bias before BN is noise in the definition (see test_training), which moves the
    running mean, and with it the test loss, by up to 1e-5."""
    options = {"sizes": (100, 30)}
    ours = curves_of(arm, 7, [1, 2], 20, **options)
    theirs = curves_of(arm, 7, [1, 2], 20, objective=plain_objective, **options)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("arm", [arm for arm in ARMS if network_of(arm, 2, [1]).has_affine])
def test_the_affine_map_is_what_the_layers_do(arm, training):
    x = normal(1, 2, 50, 3)
    network, other = (disturbed(network_of(arm, 7, [1, 2], x)).train(training) for _ in range(2))
    known = Moments.of(x, getattr(network.norm, "correction", 1))
    weight, bias = network.affine(known)
    with torch.no_grad():
        expected = other.pre_activations(x)
        torch.testing.assert_close(x @ weight + bias, expected, rtol=1e-12, atol=1e-12)
    for name, buffer in other.named_buffers():
        torch.testing.assert_close(network.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)


def test_which_arms_have_an_affine_map():
    """All of today's but layer and RMS normalisation, whose σ differs from sample to sample."""
    without = [arm for arm in ARMS if not network_of(arm, 2, [1]).has_affine]
    assert without == ["layer-norm", "rms-norm"]


def test_layer_norm_is_pytorchs():
    ours, a = disturbed(LayerNorm(2, 7)), normal(1, 2, 11, 7)
    for row in range(2):
        theirs = torch.nn.LayerNorm(7, dtype=torch.float64)
        theirs.weight.data, theirs.bias.data = ours.scale[row, 0], ours.shift[row, 0]
        torch.testing.assert_close(ours(a)[row], theirs(a[row]), rtol=1e-13, atol=1e-13)


def test_rms_norm_is_pytorchs():
    ours, a = disturbed(RMSNorm(2, 7)), normal(1, 2, 11, 7)
    for row in range(2):
        theirs = torch.nn.RMSNorm(7, dtype=torch.float64)
        theirs.weight.data = ours.scale[row, 0]
        torch.testing.assert_close(ours(a)[row], theirs(a[row]), rtol=1e-13, atol=1e-13)


def test_whitened_inputs_have_mean_0_and_covariance_1():
    x = normal(1, 2, 50, 3) * torch.tensor([10.0, 1.0, 0.1]) + 3
    hidden = network_of("whitened", 7, [1, 2], x).hidden
    moments = Moments.of((x - hidden.mean) @ hidden.whiten, 1)
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(moments.mean, torch.zeros_like(moments.mean), **close)
    one = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    torch.testing.assert_close(moments.covariance, one, **close)


def test_bn_without_scale_and_shift_trains_neither():
    ours, a = network_of("batch-plain", 7, [1, 2]), normal(1, 2, 50, 7) * 3 + 1
    assert [name for name, _ in ours.named_parameters()] == [
        name for name, _ in network_of("none", 7, [1, 2]).named_parameters()
    ]
    torch.testing.assert_close(ours.norm(a), BatchNorm(2, 7, **BATCH_NORM)(a))


def test_weight_norm_is_pytorchs():
    """Outputs, and gradients for direction and length, away from the start."""
    ours = disturbed(WeightNormLinear(Linear(normal(1, 2, 3, 7), normal(2, 2, 1, 7))))
    x, upstream = normal(3, 2, 11, 3), normal(4, 2, 11, 7)
    out = ours(x)
    (out * upstream).sum().backward()
    for row in range(2):
        theirs = torch.nn.Linear(3, 7, dtype=torch.float64)
        theirs.bias.data = ours.bias[row, 0].detach()
        theirs = torch.nn.utils.parametrizations.weight_norm(theirs, dim=0)
        length, direction = theirs.parametrizations.weight.parameters()
        length.data = ours.gain[row].detach().T.clone()
        direction.data = ours.direction[row].detach().T.clone()
        expected = theirs(x[row])
        (expected * upstream[row]).sum().backward()
        close = {"rtol": 1e-12, "atol": 1e-12}
        torch.testing.assert_close(out[row], expected, **close)
        torch.testing.assert_close(ours.gain.grad[row], length.grad.T, **close)
        torch.testing.assert_close(ours.direction.grad[row], direction.grad.T, **close)


def test_weight_norm_starts_as_none_to_the_last_bit():
    x = normal(1, 2, 50, 3)
    assert torch.equal(network_of("weight-norm", 7, [1, 2])(x), network_of("none", 7, [1, 2])(x))


def test_centring_then_scaling_is_bn():
    """Also what each of the two tracks."""
    a = normal(1, 2, 50, 7) * 3 + 1
    centre, scale, bn = (layer(2, 7, **BATCH_NORM) for layer in (Centre, Scale, BatchNorm))
    torch.testing.assert_close(scale(centre(a)), bn(a), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(centre.running_mean, bn.running_mean)
    torch.testing.assert_close(scale.running_std, bn.running_std)
    for layer in (centre, scale, bn):
        layer.eval()
    expected = a - bn.running_mean
    torch.testing.assert_close(centre(a), expected)
    torch.testing.assert_close(scale(a), a / bn.running_std)
    torch.testing.assert_close(scale(centre(a)), bn(a))


def test_scaling_keeps_the_bias_and_centring_loses_it():
    x, hidden = normal(1, 2, 50, 3), Linear(normal(2, 2, 3, 7), normal(3, 2, 1, 7) * 100)
    moments = Moments.of(x, 1)
    scaled = Scale(2, 7, **BATCH_NORM).affine(hidden.affine(), moments)
    centred = Centre(2, 7, **BATCH_NORM).affine(hidden.affine(), moments)
    assert scaled.bias.abs().mean() > 10 > 1 > centred.bias.abs().mean()


@pytest.mark.parametrize("batch_size", ["full", 20])
def test_frozen_bn_is_bn_and_then_a_fixed_affine_map(batch_size):
    """A fifth of 30 epochs are the last 6."""
    data, settings = data_of([1, 2], 40, 20), {"batch_size": batch_size, "learning_rate": 0.1}
    bn, frozen = (
        make_training(data, settings_of(arm, 7, **settings)) for arm in ("batch", "batch-frozen")
    )
    np.testing.assert_allclose(frozen.run(24).test_loss, bn.run(24).test_loss, rtol=1e-5)
    inputs, hidden = torch.from_numpy(data.train_inputs), frozen.network.hidden
    with torch.no_grad():
        before = hidden(inputs)
    frozen.epoch()
    mean, std = frozen.network.norm.running_mean.clone(), frozen.network.norm.running_std.clone()
    torch.testing.assert_close(mean, before.mean(1, keepdim=True))
    torch.testing.assert_close(std, (before.var(1, keepdim=True) + 1e-6).sqrt())
    frozen.run(5)
    assert torch.equal(frozen.network.norm.running_mean, mean)
    training, evaluating = (frozen.network.train(mode)(inputs) for mode in (True, False))
    assert torch.equal(training, evaluating) and not torch.equal(hidden(inputs), before)


def test_frozen_bn_goes_on_from_a_checkpoint_bit_for_bit():
    """From before and from after it is frozen."""
    data, settings = data_of([1, 2], 40, 20), settings_of("batch-frozen", 7, learning_rate=0.1)
    whole = make_training(data, settings).run(30).test_loss
    for epochs in (20, 27):
        first, then = (make_training(data, settings) for _ in range(2))
        first.run(epochs)
        then.resume(first.state(), epochs)
        np.testing.assert_array_equal(then.run(30 - epochs).test_loss, whole[:, epochs:])


# Tasks


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_three_targets_per_point_whatever_the_axes(task):
    targets = members.load("tasks", task).targets
    u = np.random.default_rng(0).uniform(-1, 1, (4, 5, 3))
    assert targets(u).shape == (4, 5, 3) and targets(u).dtype == np.float64
    np.testing.assert_allclose(targets(u)[1, 2], targets(u[1, 2]), rtol=1e-14)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_the_variance_that_it_says(task):
    """By 10⁶ points; the sampling error of a variance from these is 0.1-0.2 %."""
    member = members.load("tasks", task)
    u = np.random.default_rng(1).uniform(-1, 1, (1_000_000, 3))
    total = member.targets(u).var(axis=0).sum()
    assert total == pytest.approx(getattr(member, "VARIANCE", ARTICLE_VARIANCE), rel=0.005)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("task", TASKS)
def test_a_tasks_jacobian_is_the_derivative(task, inputs):
    """By differences of fourth order, whose errors are below 1e-10 here."""
    targets, step = members.load("tasks", task).targets, 1e-3
    u = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    scale, shift = (np.array(part) for part in INPUTS[inputs])
    near, far = (
        np.stack([targets(u + s * e) - targets(u - s * e) for e in np.eye(3)], axis=-1)
        for s in (step, 2 * step)
    )
    exact = (8 * near - far) / (12 * step)
    found = task_jacobian(task, inputs, u * scale + shift)
    np.testing.assert_allclose(found * scale, exact, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("task", "sign"), [("odd", -1), ("even", 1)])
def test_parity(task, sign):
    """With all inputs turned round the targets are the same, or the same turned round."""
    targets = members.load("tasks", task).targets
    u = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    np.testing.assert_allclose(targets(-u), sign * targets(u), rtol=1e-13)


def test_products_are_of_pairs_of_inputs_alone():
    """No effect of an input while another one is 0 in each of its products."""
    targets = members.load("tasks", "product").targets
    np.testing.assert_array_equal(targets(np.diag([0.3, -0.5, 0.7])), 0)
    np.testing.assert_allclose(
        targets(np.array([2.0, 3.0, 5.0])) / targets(np.ones(3)), [6, 15, 10], rtol=1e-14
    )


def test_friedmans_terms_are_those_of_scikit_learn():
    """Their sum before scaling: by the function's own values where x₄ = x₁ and x₅ = x₂."""
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(50, n_features=5, noise=0.0, random_state=0)
    targets = members.load("tasks", "friedman").targets
    ours = targets(2 * x[:, :3] - 1)
    linear = 10 * (x[:, 0] - x[:, 3]) + 5 * (x[:, 1] - x[:, 4])
    factors, *_ = np.linalg.lstsq(ours, y + linear, rcond=None)
    np.testing.assert_allclose(ours @ factors, y + linear, rtol=1e-12)


# Optimizers


def start(optimizer, replicates=10):
    """(parameters, state, step) of an optimizer with its default settings."""
    member, settings = members.load("optimizers", optimizer), defaults("optimizers", optimizer)
    parameters = normal(1, 10, 37)[:replicates].clone()
    state = member.init(parameters, **settings)

    def step(parameters, gradients, state, learning_rate=1e-2):
        return member.step(
            parameters, gradients, state, learning_rate=learning_rate, samples=7, **settings
        )

    return parameters, state, step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_is_in_place(optimizer):
    parameters, state, step = start(optimizer)
    before, gradients = parameters.clone(), normal(2, 10, 37)
    kept, places = gradients.clone(), {name: t.data_ptr() for name, t in state.items()}
    assert step(parameters, gradients, state) is None
    assert not torch.equal(parameters, before) and torch.equal(gradients, kept)
    assert {name: t.data_ptr() for name, t in state.items()} == places
    assert all(len(tensor) == 10 for tensor in state.values() if tensor.ndim)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_replicates_are_optimized_each_for_itself(optimizer):
    """Bit for bit."""
    whole, state, step = start(optimizer)
    pieces = [start(optimizer) for _ in CUT]
    pieces = [
        (parameters[rows.start : rows.stop].clone(), rows)
        for (parameters, _, _), rows in zip(pieces, CUT, strict=True)
    ]
    member, settings = members.load("optimizers", optimizer), defaults("optimizers", optimizer)
    states = [member.init(parameters, **settings) for parameters, _ in pieces]
    for count in range(5):
        gradients = normal(count, 10, 37) * 10.0 ** (count - 2)
        step(whole, gradients, state)
        for (parameters, rows), own in zip(pieces, states, strict=True):
            step(parameters, gradients[rows.start : rows.stop].clone(), own)
    assert torch.equal(whole, torch.cat([parameters for parameters, _ in pieces]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_that_an_optimizer_remembers_is_in_its_state(optimizer):
    parameters, state, step = start(optimizer)
    for count in range(3):
        step(parameters, normal(count, 10, 37), state)
    copied, remembered = parameters.clone(), {name: t.clone() for name, t in state.items()}
    step(parameters, normal(9, 10, 37), state)
    step(copied, normal(9, 10, 37), remembered)
    assert torch.equal(copied, parameters)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_results_with_an_optimizer_do_not_depend_on_the_cut(optimizer):
    options = {"sizes": (100, 30), "optimizer": optimizer, "batch_size": 16}
    options["optimizer_settings"] = defaults("optimizers", optimizer)
    whole = curves_of("batch", 37, range(10), 5, **options)
    cut = [curves_of("batch", 37, piece, 5, **options) for piece in CUT]
    np.testing.assert_array_equal(whole, np.concatenate(cut, axis=1))
    assert np.isfinite(whole).all()


PYTORCHS = {
    "adam": (lambda p: torch.optim.Adam([p], lr=1.0), 1),
    "sgd": (lambda p: torch.optim.SGD([p], lr=1.0, momentum=0.9), 7),
}


@pytest.mark.parametrize("optimizer", PYTORCHS)
def test_optimizers_are_pytorchs(optimizer):
    """50 steps along gradients of very different sizes, at rates that change; to 1e-13 of what is
    added up. SGD's gradients are those of the mean over samples."""
    ours, state, step = start(optimizer)
    make, samples = PYTORCHS[optimizer]
    theirs = torch.nn.Parameter(ours.clone())
    reference = make(theirs)
    for count in range(50):
        sizes = 10.0 ** torch.linspace(-12, 6, 37, dtype=torch.float64)
        gradients, rate = sizes * normal(count, 10, 37), 1e-3 / (1 + count)
        theirs.grad = gradients / samples
        reference.param_groups[0]["lr"] = rate
        step(ours, gradients, state, learning_rate=rate)
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-13)
    own = reference.state[theirs]
    names = {"adam": ("exp_avg", "exp_avg_sq", "step"), "sgd": ("momentum",)}[optimizer]
    for name in names:
        expected = own["momentum_buffer" if name == "momentum" else name]
        torch.testing.assert_close(state[name], expected, rtol=1e-12, atol=1e-25)
