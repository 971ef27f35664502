"""Training: the fast path against the definition, and independence of how the work is cut."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import BATCH_NORM, data_of, network_of
from jobs import curves_of as curves
from jobs import training_of as make

from bnstudy import kernels
from bnstudy.experiment import evaluators
from bnstudy.experiment.batches import Batch, lay_out
from bnstudy.experiment.evaluators import KernelEvaluator, plain_objective
from bnstudy.experiment.layers import Affine, BatchNorm, Dropout, split
from bnstudy.experiment.training import Training, flatten


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("batch_size", ["full", 300])
@pytest.mark.parametrize("width", [10, 30, 37, 300])
@pytest.mark.parametrize("arm", ["none", "batch"])
def test_results_do_not_depend_on_how_seeds_are_cut_into_blocks(arm, width, batch_size):
    """Of the other arms: test_members_experiment."""
    seeds, options = list(range(10)), {"batch_size": batch_size}
    whole = curves(arm, width, seeds, 30, **options)
    pieces = [seeds[0:3], seeds[3:4], seeds[4:10]]
    cut = np.concatenate([curves(arm, width, piece, 30, **options) for piece in pieces], axis=1)
    np.testing.assert_array_equal(whole, cut)


def test_without_bn_the_fast_path_follows_the_definition_over_2000_epochs():
    fast = curves("none", 30, [1, 2], 2000)
    slow = curves("none", 30, [1, 2], 2000, objective=plain_objective)
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_with_bn_the_fast_path_follows_the_definition_over_500_epochs():
    """To 1e-9, where the definition takes the gradient of the bias before BN as the 0 that it is.

    In exact arithmetic that bias has no effect, and in the affine map it cancels. In the definition
    its gradient is rounding noise of about 1e-12, which Adam divides by itself + 1e-8.
    """
    fast = curves("batch", 30, [1, 2], 500)
    definition = make("batch", 30, [1, 2], objective=plain_objective)
    hidden = definition.network.hidden
    hidden.bias.register_hook(torch.zeros_like)
    slow = definition.run(500)
    np.testing.assert_allclose(fast, [slow.train_loss, slow.test_loss], rtol=1e-9)


def test_what_the_bias_before_bn_adds_to_the_definition():
    """With its noise: train losses agree as well; test losses to 1e-5 (measured: 4e-6).

    The bias drifts by up to 1e-7 an epoch, and the running mean follows with a lag of ten epochs.
    """
    fast = curves("batch", 30, [1, 2], 500)
    slow = curves("batch", 30, [1, 2], 500, objective=plain_objective)
    np.testing.assert_allclose(fast[0], slow[0], rtol=1e-9)
    np.testing.assert_allclose(fast[1], slow[1], rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("batch_size", ["full", 300])
@pytest.mark.parametrize("width", [10, 300])
@pytest.mark.parametrize("arm", ["none", "batch", "scaled"])
def test_a_gpu_gives_the_same_curves(arm, width, batch_size):
    """To 1e-9 over 500 epochs (on an H200 the full batch's agree to 2e-15).

    Warm-up, recording and replay of the CUDA graph are all in there.
    """
    options = {"batch_size": batch_size}
    on_gpu = curves(arm, width, [1, 2], 500, device="cuda", **options)
    np.testing.assert_allclose(on_gpu, curves(arm, width, [1, 2], 500, **options), rtol=1e-9)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_device_is_refused_with_a_remedy():
    with pytest.raises(RuntimeError, match=r"set training\.device to cpu"):
        make("none", 5, [1], device="cuda")


def test_minibatches_of_everything_are_the_full_batch():
    """In another order, so to rounding; without BN, because of the bias before it (see above)."""
    whole, shuffled = (curves("none", 20, [1, 2], 100, batch_size=b) for b in ("full", 1000))
    np.testing.assert_allclose(shuffled, whole, rtol=1e-10)


def test_minibatches_take_each_sample_once_an_epoch():
    batches = make("none", 5, [1, 2], batch_size=300).batches
    batches.shuffle()
    assert [len(batch) for batch in batches.batches] == [300, 300, 300, 100]
    together = torch.cat([torch.cat([b.inputs, b.targets], dim=2) for b in batches.batches], dim=1)
    inputs, targets = whole_of(batches)
    expected = torch.cat([inputs, targets], dim=2)
    assert not torch.equal(together, expected)
    for ours, theirs in zip(together, expected, strict=True):
        assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


def whole_of(batches):
    """The training data in their own order."""
    batch = Batch(batches.source, 0, batches.count)
    return batch.inputs, batch.targets


def test_dropout_is_trained_as_defined():
    fast = curves("dropout", 7, [1, 2], 20)
    slow = curves("dropout", 7, [1, 2], 20, objective=plain_objective)
    np.testing.assert_allclose(fast, slow, rtol=1e-11)


def test_a_minibatch_is_normalised_by_its_own_statistics():
    """Three epochs of two steps against the definition: the train losses (see above, the bias)."""
    options = {"sizes": (40, 20), "batch_size": 20}
    fast = curves("batch", 7, [1, 2], 3, **options)
    slow = curves("batch", 7, [1, 2], 3, objective=plain_objective, **options)
    np.testing.assert_allclose(fast[0], slow[0], rtol=1e-9)


CONTINUED = [("none", "full"), ("batch", "full"), ("batch", 300), ("dropout", 300)]


@pytest.mark.parametrize(("arm", "batch_size"), CONTINUED)
def test_going_on_from_a_checkpoint_is_going_on(arm, batch_size):
    """Bit for bit; what minibatches and dropout draw goes on as well."""
    whole = make(arm, 30, [1, 2], batch_size=batch_size).run(60)
    first = make(arm, 30, [1, 2], batch_size=batch_size)
    first.run(35)
    second = make(arm, 30, [1, 2], batch_size=batch_size)
    second.resume(first.state(), 35)
    assert second.steps_done == first.steps_done == 35 * (4 if batch_size == 300 else 1)
    rest = second.run(25)
    np.testing.assert_array_equal(whole.train_loss[:, 35:], rest.train_loss)
    np.testing.assert_array_equal(whole.test_loss[:, 35:], rest.test_loss)


def test_nothing_goes_on_from_a_checkpoint_without_its_generators():
    first = make("none", 5, [1, 2], batch_size=300)
    state = first.state()
    state.pop("generator.minibatches")
    with pytest.raises(KeyError, match=r"generator\.minibatches"):
        make("none", 5, [1, 2], batch_size=300).resume(state, 0)


@pytest.mark.parametrize("arm", ["none", "batch"])
def test_after_an_epoch_of_minibatches_the_whole_training_set_is_evaluated(arm):
    training = make(arm, 7, [1, 2], sizes=(40, 20), batch_size=16)
    curves = training.run(3)
    inputs, targets = whole_of(training.batches)
    with torch.no_grad():
        losses = (training.network.eval()(inputs) - targets).square().sum((1, 2)) / 40
    np.testing.assert_allclose(curves.train_loss_eval[:, -1], losses, rtol=1e-12)
    assert make(arm, 7, [1, 2], sizes=(40, 20)).run(3).train_loss_eval is None


def test_the_cosine_schedule_falls_to_zero_over_the_budgets_steps():
    """By hand: rates of each step of 2 epochs of 3 minibatches, by SGD without momentum."""
    options = {"sizes": (40, 20), "batch_size": 16, "learning_rate": 1e-3, "epochs": 2}
    sgd = {"optimizer": "sgd", "optimizer_settings": {"momentum": 0.0}}
    training = make("none", 5, [1], schedule="cosine", **options, **sgd)
    constant = training.optimizer_step
    seen = []
    training.optimizer_step = lambda *a, learning_rate, **k: (
        seen.append(learning_rate),
        constant(*a, learning_rate=learning_rate, **k),
    )
    training.run(2)
    expected = [1e-3 / 2 * (1 + np.cos(np.pi * step / 6)) for step in range(6)]
    np.testing.assert_allclose(seen, expected, rtol=1e-15)


def test_an_unknown_schedule_is_named():
    with pytest.raises(KeyError, match="linear"):
        make("none", 5, [1], sizes=(40, 20), schedule="linear").run(1)


def random_problem(seed, replicates, n, width):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inputs, targets = draw(replicates, n, 3), draw(replicates, n, 3)
    parameters = [
        draw(replicates, 3, width),
        draw(replicates, 1, width),
        draw(replicates, width, 3),
        draw(replicates, 1, 3),
    ]
    return inputs, targets, [p.requires_grad_() for p in parameters]


def batch_of(inputs, targets):
    return Batch(lay_out(inputs, targets), 0, inputs.shape[1])


def rows_of(*parts):
    return torch.cat([part.flatten(1) for part in parts], dim=1)


@given(
    st.sampled_from(["affine", "sample by sample"]),
    st.integers(0, 2**31),
    st.integers(1, 3),
    st.integers(1, 300),
    st.integers(1, 40),
)
@settings(deadline=None, max_examples=80)
def test_losses_and_gradients_are_those_of_plain_pytorch(given, seed, replicates, n, width):
    """To 1e-12 of the terms that are added up, which are of order 1 here (N(0, 1) draws).

    Not of the sums: where a residual cancels, rounding is all that is left of it in both.
    """
    inputs, targets, (A, a, V, c) = random_problem(seed, replicates, n, width)
    upstream = torch.arange(1.0, replicates + 1, dtype=torch.float64)
    plainly = ((torch.tanh(inputs @ A + a) @ V + c - targets) ** 2).sum((1, 2))
    expected = torch.autograd.grad((plainly * upstream).sum(), (A, a, V, c))
    batch = batch_of(inputs, targets)
    before = {"affine": rows_of(A, a), "sample by sample": inputs @ A + a}[given]
    drawn = None, 1.0
    losses = evaluators._SquaredError.apply(
        before, rows_of(V, c), batch, drawn, kernels.scratch(width)
    )
    got = torch.autograd.grad((losses * upstream).sum(), (A, a, V, c))
    torch.testing.assert_close(losses, plainly, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(got, expected, strict=True):
        atol = 1e-12 * max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=atol)


@given(
    st.sampled_from(["none", "batch", "centred", "scaled"]),
    st.integers(0, 2**31),
    st.integers(1, 3),
    st.integers(1, 40),
)
@settings(deadline=None, max_examples=80)
def test_the_kernels_are_the_definition(arm, seed, replicates, width):
    """Losses in training and evaluation mode, gradients and running values, against the readable
    definition by autograd: to 1e-12 of the terms added up, for which the largest entry stands."""
    inputs, targets, _ = random_problem(seed, replicates, 20, width)
    seeds = range(seed, seed + replicates)
    network, definition = (network_of(arm, width, seeds, inputs) for _ in range(2))
    rows, gradients = flatten(network)
    evaluator = KernelEvaluator(network, rows, gradients)
    batch = batch_of(inputs, targets)
    ours = {"train": evaluator.train(batch)(), "test": evaluator.test(batch)()}
    theirs = {"train": ((definition(inputs) - targets) ** 2).sum((1, 2))}
    theirs["train"].sum().backward()
    definition.eval()
    theirs["test"] = ((definition(inputs) - targets) ** 2).sum((1, 2))
    ours |= split(gradients, network)
    for name, parameter in definition.named_parameters():
        if arm in ("batch", "centred") and name == "hidden.bias":
            parameter.grad.zero_()  # 0 in exact arithmetic: what the definition has is rounding
        theirs[name] = parameter.grad
    for name, buffer in definition.named_buffers():
        theirs[name], ours[name] = buffer, network.get_buffer(name)
    theirs = {name: value.detach() for name, value in theirs.items()}
    largest = max(float(value.abs().max()) for value in theirs.values())
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-12 * largest)


def test_a_variant_of_bn_with_an_affine_map_of_its_own_is_trained_as_well():
    """One that the kernels do not know: its affine map is what PyTorch differentiates."""

    class Unshifted(BatchNorm):
        def forward(self, a):
            return super().forward(a) - self.shift

        def affine(self, before, moments):
            weight, bias = super().affine(before, moments)
            return Affine(weight, bias - self.shift)

    seeds, data = [1, 2], data_of([1, 2], 50, 20)
    results = []
    for objective in (None, plain_objective):
        network = network_of("batch", 7, seeds)
        network.norm = Unshifted(2, 7, **BATCH_NORM)
        network.hidden.bias.register_hook(torch.zeros_like)  # its gradient is 0, see above
        training = Training(network, data, learning_rate=1e-3, objective=objective)
        result = training.run(30)
        results.append([result.train_loss, result.test_loss])
    np.testing.assert_allclose(*results, rtol=1e-10)


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("given", ["affine", "sample by sample"])
def test_gradcheck(given, dropped):
    inputs, targets, (A, a, V, c) = random_problem(1, 2, 9, 5)
    drawn = evaluators._drops(Dropout(0.3, [1, 2]) if dropped else None, 9, 5)

    def losses(A, a, V, c):
        before = rows_of(A, a) if given == "affine" else inputs @ A + a
        batch, scratch = batch_of(inputs, targets), kernels.scratch(5)
        return evaluators._SquaredError.apply(before, rows_of(V, c), batch, drawn, scratch)

    assert torch.autograd.gradcheck(losses, (A, a, V, c))


def activated(z):
    """What the kernels make of pre-activations: one unit, whose output is what is wanted."""
    x = torch.zeros(1, len(z), 3, dtype=torch.float64)
    x[0, :, 0] = torch.from_numpy(z)
    targets = torch.zeros_like(x)
    scratch = kernels.scratch(1)
    hidden, output = (torch.tensor([row], dtype=torch.float64) for row in ((1, 0, 0, 0), [0] * 6))
    batch, row = batch_of(x, targets), [0.0] * 6
    kernels.squared_error(
        *(batch.samples.numpy(), 0, len(z), hidden.numpy(), None, output.numpy(), None, 1.0),
        *(scratch, True, hidden.numpy().copy(), None, np.array([row])),
    )
    return scratch[1][: len(z)]


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 30.0, 1e6])
def test_tanh_is_exact_to_rounding(scale):
    """Against NumPy's: absolute error below 1e-15 (2 / (e + 1) rounds at 1.1e-16 twice)."""
    z = np.linspace(-scale, scale, kernels.BLOCK_SAMPLES)
    np.testing.assert_allclose(activated(z), np.tanh(z), atol=1e-15, rtol=0)


def test_not_a_number_stays_one():
    z = np.array([np.nan, np.inf, -np.inf, 0.0])
    np.testing.assert_array_equal(activated(z), [np.nan, 1, -1, 0])


LANES_CODE = """
import json, sys
from bnstudy import kernels
from bnstudy.experiment import evaluators
from bnstudy.experiment.batches import Batch, lay_out
kernels.LANES = int(sys.argv[1])
import numpy as np
from jobs import curves_of
print(json.dumps([curves_of("batch", 37, [1], 20, sizes=(203, 20), batch_size=b).tolist()
                  for b in ("full", 50)]))
"""


def test_results_do_not_depend_on_the_processors_vectors(tmp_path):
    """Bit for bit, for vectors of 2, 4 and 8 numbers, whatever this processor has."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    told = []
    for lanes in (2, 4, 8):
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / str(lanes))
        command = [sys.executable, "-c", LANES_CODE, str(lanes)]
        told.append(
            subprocess.run(command, env=environment, check=True, capture_output=True).stdout
        )
    assert told[0] == told[1] == told[2]


def test_the_checkpoint_names_all_that_training_needs():
    training = make("batch", 4, [1, 2], sizes=(20, 10), batch_size=8)
    training.run(3)
    state = training.state()
    network = training.network
    optimizer = {f"optimizer.{name}" for name in ("step", "exp_avg", "exp_avg_sq")}
    assert set(state) == {*network.state_dict(), *optimizer, "generator.minibatches"}
    assert state["optimizer.step"] == 9
    assert state["optimizer.exp_avg"].shape == (2, 6 * 4 + 3 * 4 + 3)
    assert state["generator.minibatches"].dtype == torch.uint8
    assert all(len(tensor) == 2 for tensor in state.values() if tensor.ndim)


def test_recording_is_before_the_update_for_training_and_after_it_for_testing():
    """One epoch by hand, with plain autograd and Adam."""
    data = data_of([5], 30, 20)
    result = curves("none", 6, [5], 1, sizes=(30, 20))
    network = network_of("none", 6, [5])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    x, t = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    loss = ((network(x) - t) ** 2).sum()
    loss.backward()
    optimizer.step()
    x, t = torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_targets)
    after = ((network(x) - t) ** 2).sum()
    np.testing.assert_allclose(result.ravel(), [loss.item() / 30, after.item() / 20], rtol=1e-12)
