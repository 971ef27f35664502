"""What is measured inside a network, against closed forms and autograd; the tables of a scope."""

import copy

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from bnstudy.analysis.collect import (
    ROW,
    BlockOfScope,
    blocks_of_scope,
    collect_curves,
    collect_diagnostics,
    collect_runs,
    experiments_table,
    of_cell,
)
from bnstudy.analysis.diagnostics.features import effective_rank
from bnstudy.analysis.networks import diagnose
from bnstudy.analysis.outcomes import has_settings, threshold_columns
from bnstudy.config import members
from bnstudy.config.cell import UNTUNED
from bnstudy.config.models import ARTICLE
from bnstudy.config.plan import SETTINGS, Cell
from bnstudy.experiment.block import BlockFiles, train_block
from bnstudy.experiment.data import make_data, task_jacobian, thresholds, write_data
from bnstudy.experiment.layers import BatchNorm, Dropout, Linear, Network, build_network
from bnstudy.experiment.snapshots import Snapshot
from bnstudy.files import DamagedFile, read_parquet, write_parquet

DATASET = {
    "train_size": 50,
    "test_size": 20,
    "ranges": {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]},
}
SEEDS = [1, 2, 3]
DIAGNOSED = [
    column
    for name in members.names("diagnostics")
    for column in members.declared("diagnostics", name)["COLUMNS"]
]


def settings_of(arm, **changed):
    """The settings of a training job."""
    cell = Cell(**ARTICLE | {"epochs": 8, "arm": arm, "width": 6} | changed)
    own = members.declared("arms", arm).get("SETTINGS", {})
    uses_bn = "batch_norm" in members.declared("arms", arm).get("USES", ())
    batch_norm = {"batch_norm": {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}}
    return {
        "cell": cell.name,
        **cell.values(),
        "dataset": DATASET,
        "arm_settings": {name: setting["default"] for name, setting in own.items()},
        "optimizer_settings": {},
        "task_settings": {},
        **(batch_norm if uses_bn else {}),
        "device": "cpu",
    }


def snapshot_of(arm, seeds=(2,), which=0, **changed):
    """A replicate whose running values are not the initial ones, trained with others or alone."""
    settings = settings_of(arm, **changed)
    data = make_data(seeds, settings["task"], "plain", **DATASET)
    inputs = torch.from_numpy(data.train_inputs)
    network = build_network(arm, 6, list(seeds), inputs, settings)
    network(inputs)
    one = build_network(arm, 6, [seeds[which]], inputs[which : which + 1], settings).eval()
    state = {name: value[which : which + 1] for name, value in network.state_dict().items()}
    one.load_state_dict(state)
    size = sum(parameter.numel() for parameter in one.parameters())
    return Snapshot(
        epoch=7,
        seed=seeds[which],
        settings=settings,
        network=one,
        inputs=data.test_inputs[which],
        targets=data.test_targets[which],
        train_inputs=data.train_inputs[which],
        train_targets=data.train_targets[which],
        parameters=np.zeros(size),
        gradient=np.random.default_rng(seeds[which]).normal(size=size),
        second_moment=None,
    )


def computed(name, snapshot):
    member = members.load("diagnostics", name)
    given = {n: setting["default"] for n, setting in getattr(member, "SETTINGS", {}).items()}
    return member.compute(snapshot, **given)


# --- All diagnostics, all arms --------------------------------------------------------------------


@pytest.mark.parametrize("arm", members.names("arms"))
@pytest.mark.parametrize("name", members.names("diagnostics"))
def test_a_diagnostic_gives_its_columns_for_any_arm(name, arm):
    """Finite numbers, the same whichever replicates are trained together."""
    found = computed(name, snapshot_of(arm))
    assert list(found) == list(members.declared("diagnostics", name)["COLUMNS"])
    assert all(np.isfinite(list(found.values()))) and min(found.values()) >= 0
    assert computed(name, snapshot_of(arm, SEEDS, which=1)) == found


@pytest.mark.parametrize("arm", members.names("arms"))
def test_the_diagnostics_by_their_definitions(arm):
    """Straight from the formulas, by autograd through the network, point by point."""
    snapshot = snapshot_of(arm)
    network, x = snapshot.network, torch.from_numpy(snapshot.inputs)

    def at(function):
        def one(point):
            return function(point.expand(1, 1, 3))[0, 0]

        return torch.stack([torch.autograd.functional.jacobian(one, p) for p in x])

    with torch.no_grad():
        z = network.pre_activations(x[None])[0]
    features = members.load("diagnostics", "features").compute(snapshot, saturation=0.5)
    assert features["mean_abs_z"] == pytest.approx(float(z.abs().mean()))
    assert features["saturated_share"] == float((z.tanh().abs() > 0.5).double().mean())
    found, slopes = at(network), at(network.pre_activations)  # (points, outputs | units, inputs)
    target = task_jacobian("article", "plain", snapshot.inputs)
    jacobian = computed("jacobian", snapshot)
    assert jacobian["jacobian_norm"] == pytest.approx(float(found.norm(dim=(1, 2)).mean()))
    error = (found - torch.from_numpy(target)).norm(dim=(1, 2)).mean()
    assert jacobian["jacobian_error"] == pytest.approx(float(error))
    lengths = slopes.norm(dim=2).mean(dim=0) * network.output.weight[0].detach().norm(dim=1)
    assert jacobian["path_norm"] == pytest.approx(float(lengths.sum()))
    norm = computed("gradients", snapshot)["gradient_norm"]
    assert norm == pytest.approx(np.linalg.norm(snapshot.gradient))


# --- Closed forms ---------------------------------------------------------------------------------


def test_the_targets_jacobian_is_that_of_the_targets():
    """By central differences, exact for polynomials of degree 2."""
    x, step = np.random.default_rng(0).uniform(-1, 1, (5, 3)), 1e-3
    targets = members.load("tasks", "article").targets
    for axis in range(3):
        e = step * np.eye(3)[axis]
        difference = (targets(x + e) - targets(x - e)) / (2 * step)
        found = task_jacobian("article", "plain", x)[:, :, axis]
        np.testing.assert_allclose(found, difference, atol=1e-10)


def test_the_mean_norm_of_the_targets_jacobian():
    """9.07, STUDY's number; E ‖J*‖² = 14 + 50 + 4·(1 + 4 + 9)/3 gives 9.10 as its upper bound."""
    x = np.random.default_rng(0).uniform(-1, 1, (200_000, 3))
    mean = np.linalg.norm(task_jacobian("article", "plain", x), axis=(1, 2)).mean()
    assert mean == pytest.approx(9.07, abs=0.005)
    assert mean < np.sqrt(64 + 4 * 14 / 3)


def test_effective_rank_of_known_spectra():
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.normal(size=(40, 4)) - 0)
    u, _ = np.linalg.qr(u - u.mean(axis=0))  # columns of mean 0, orthonormal
    v, _ = np.linalg.qr(rng.normal(size=(6, 4)))
    # Each unit's own constant is removed by centring.
    equal = u @ np.diag([3.0, 3, 3, 3]) @ v.T + 5 + np.arange(6.0)
    assert effective_rank(equal) == pytest.approx(4, rel=1e-12)
    shares = np.array([8.0, 4, 2, 2]) / 16
    entropy = 1 / 2 * np.log(2) + 1 / 4 * np.log(4) + 2 / 8 * np.log(8)  # = 1.75 ln 2
    assert effective_rank(u @ np.diag(shares) @ v.T) == pytest.approx(np.exp(entropy), rel=1e-12)


def test_effective_rank_of_nothing_is_not_a_number():
    assert np.isnan(effective_rank(np.ones((5, 3))))
    assert np.isnan(effective_rank(np.full((5, 3), np.inf)))


# --- Three evaluations ----------------------------------------------------------------------------

WAYS = ("running", "population", "batch")


def one_unit(inputs, train_inputs, batch_size):
    """A snapshot of one hidden unit whose outputs are (tanh((x₁ - μ)/σ), 0, 0), its targets 0; the
    running values are μ = 4 and σ = 2."""

    def points(values):
        return np.outer(values, [1.0, 0.0, 0.0])

    weight = torch.tensor([[[1.0], [0.0], [0.0]]], dtype=torch.float64)
    bias = torch.zeros(1, 1, 1, dtype=torch.float64)
    norm = BatchNorm(1, 1, momentum=0.9, epsilon=1e-30, correction=0)
    norm.running_mean.fill_(4)
    norm.running_std.fill_(2)
    output = Linear(weight.mT.clone(), bias.expand(1, 1, 3).clone())
    network = Network(Linear(weight, bias), output, norm, Dropout(0.5, [0]))
    return Snapshot(
        epoch=0,
        seed=0,
        settings={"batch_size": batch_size},
        network=network.eval(),
        inputs=points(inputs),
        targets=np.zeros((len(inputs), 3)),
        train_inputs=points(train_inputs),
        train_targets=np.zeros((len(train_inputs), 3)),
        parameters=np.zeros(11),
        gradient=np.zeros(11),
        second_moment=None,
    )


def squares(*z):
    """The mean of tanh²."""
    return float(np.mean(np.tanh(z) ** 2))


def test_three_evaluations_by_hand():
    """Training points 1 3 5 7: mean 4, variance 5; in pairs means 2 and 6, σ 1. Test points 0 4 5
    in batches of two or more: one, of mean 3 and variance 14/3. Nothing is dropped."""
    snapshot = one_unit([0, 4, 5], [1, 3, 5, 7], 2)
    before = copy.deepcopy(snapshot.network.state_dict())
    found, root, std = computed("evaluations", snapshot), np.sqrt(5), np.sqrt(14 / 3)
    assert found == pytest.approx(
        {
            "running_test_loss": squares(2, 0, 1 / 2),
            "running_train_loss": squares(3 / 2, 1 / 2, 1 / 2, 3 / 2),
            "population_test_loss": squares(4 / root, 0, 1 / root),
            "population_train_loss": squares(3 / root, 1 / root, 1 / root, 3 / root),
            "batch_test_loss": squares(3 / std, 1 / std, 2 / std),
            "batch_train_loss": squares(1, 1, 1, 1),
        },
        rel=1e-12,
    )
    after = snapshot.network.state_dict()  # another diagnostic sees the network as it was
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_of_a_full_batch_the_batch_is_the_population():
    """By name for test points; for training points to rounding, were they cut as minibatches."""
    found = computed("evaluations", one_unit([0, 4, 5], [1, 3, 5, 7], "full"))
    of_four = computed("evaluations", one_unit([0, 4, 5], [1, 3, 5, 7], 4))
    for name in ("test", "train"):
        assert found[f"batch_{name}_loss"] == found[f"population_{name}_loss"]
    assert of_four["batch_train_loss"] == pytest.approx(found["batch_train_loss"], rel=1e-12)


@pytest.mark.parametrize("arm", members.names("arms"))
def test_evaluations_differ_as_far_as_statistics_do(arm):
    """An arm without any has one loss; else the population's is that of the network whose running
    values are its own, and a minibatch of all training points is the population."""
    snapshot = snapshot_of(arm, batch_size=50)
    norm = snapshot.network.norm
    if isinstance(norm, BatchNorm):
        norm.running_mean += 1  # an arm may start with those of the population
    found = computed("evaluations", snapshot)
    assert found["batch_train_loss"] == pytest.approx(found["population_train_loss"], rel=1e-12)
    if not isinstance(norm, BatchNorm):
        losses = [found[f"{way}_test_loss"] for way in WAYS]
        assert losses == pytest.approx([losses[0]] * 3, rel=1e-12)
        return
    assert found["running_test_loss"] != pytest.approx(found["population_test_loss"], rel=1e-3)
    with torch.no_grad():
        a = snapshot.network.hidden(torch.from_numpy(snapshot.train_inputs)[None])[0]
    if norm.centre:
        norm.running_mean.copy_(a.mean(dim=0))
    if norm.divide:
        norm.running_std.copy_((a.var(dim=0) + norm.epsilon).sqrt())
    exact = computed("evaluations", snapshot)
    for name in ("test", "train"):
        expected = pytest.approx(found[f"population_{name}_loss"], rel=1e-12)
        assert exact[f"running_{name}_loss"] == expected


# --- The tables of a scope ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two blocks: all seeds of one cell, and a cell whose last seed the scope does not ask for."""
    root = tmp_path_factory.mktemp("results")
    blocks = []
    for settings, wanted in (
        (settings_of("batch"), SEEDS),
        (
            settings_of("layer-norm", task="friedman", width=4, batch_size=25, label_noise=0.1),
            SEEDS[:2],
        ),
    ):
        data = root / "datasets" / f"{settings['task']}-plain" / "seeds_1.npz"
        write_data(data, make_data(SEEDS, settings["task"], "plain", **DATASET))
        folder = root / "runs" / settings["cell"] / "seeds_1"
        names = ("curves.parquet", "snapshots.safetensors", "checkpoint.safetensors", "record.json")
        files = BlockFiles(*(folder / name for name in names))
        options = {"settings": settings, "code": "0", "snapshot_epochs": [0, 7]}
        train_block(data, files, seeds=SEEDS, **options)
        blocks.append(BlockOfScope(folder, wanted))
        assert blocks[-1].dataset == data
    return blocks


def all_diagnostics(trained, blocks=slice(None)):
    settings = {"features": {"saturation": 0.9}}
    settings = {name: settings.get(name, {}) for name in members.names("diagnostics")}
    tables = [diagnose([block], settings) for block in trained[blocks]]
    return collect_diagnostics(tables, DIAGNOSED)


def runs_of(blocks, diagnostics, limits=(22.58, 0.2258)):
    return collect_runs(blocks, diagnostics.to_pandas(), final_window=3, thresholds=list(limits))


def test_curves_of_all_blocks_have_one_schema_and_can_be_filtered(trained, tmp_path):
    path = tmp_path / "curves.parquet"
    write_parquet(path, collect_curves(trained))
    whole = read_parquet(path).to_pandas()
    assert list(whole) == [
        *("cell", *SETTINGS),
        *("seed", "epoch", "train_loss", "test_loss", "train_loss_eval", "steps"),
    ]
    assert len(whole) == (3 + 2) * 8
    assert has_settings(whole, UNTUNED).all(), "as figures look for them"
    batch = read_parquet(path, cell="batch-w6-e8").to_pandas()
    assert batch.batch_size.unique().tolist() == ["full"] and set(batch.seed) == set(SEEDS)
    norm = read_parquet(path, width=4, batch_size="25").to_pandas()
    same = read_parquet(path, task=["friedman"]).to_pandas()
    pd.testing.assert_frame_equal(norm, same, check_categorical=False)
    assert norm.seed.tolist() == [1] * 8 + [2] * 8 and norm.epoch.tolist() == [*range(8)] * 2
    assert norm.steps.tolist() == [*range(2, 17, 2)] * 2 and norm.train_loss_eval.notna().all()
    thinned = pa.concat_tables(collect_curves(trained, thinned=True))
    assert thinned.equals(pa.concat_tables(collect_curves(trained)))  # 8 epochs are few


def test_a_scopes_blocks_have_the_seeds_that_its_experiments_name(trained):
    one, other = (block.settings["cell"] for block in trained)
    asked = [(one, 1, 2), (one, 3, 9), (other, 0, 2), ("absent", 0, 1)]
    asked = pd.DataFrame(asked, columns=["cell", "first_seed", "seeds"])
    blocks = blocks_of_scope([block.folder / "record.json" for block in trained], asked)
    assert [block.folder for block in blocks] == [block.folder for block in trained]
    assert [block.seeds for block in blocks] == [[1, 2, 3], [1]]


def test_a_run_is_a_row(trained):
    blocks = trained
    torch.set_num_threads(2)
    diagnostics = all_diagnostics(trained)
    assert torch.get_num_threads() == 1, "results depend on their number"
    runs = runs_of(blocks, diagnostics)
    assert runs.cell.tolist() == [b.settings["cell"] for b in blocks for _ in b.seeds]
    curves = pa.concat_tables(collect_curves(blocks)).to_pandas()
    values = diagnostics.to_pandas().set_index(["cell", "seed", "epoch"])
    for run in runs.itertuples():
        losses = curves[(curves.cell == run.cell) & (curves.seed == run.seed)]
        assert run.final_test_loss == losses.test_loss[-3:].median()
        assert run.last_train_loss == losses.train_loss.iloc[-1]
        inside = values.loc[(run.cell, run.seed, 7)]
        assert run.final_effective_rank == inside.effective_rank
        assert run.final_jacobian_error == inside.jacobian_error
        assert run.final_running_test_loss == pytest.approx(run.last_test_loss, rel=1e-12)
        if run.batch_size != "full":  # the loss of the noisy targets, as training recorded it
            evaluated = losses.train_loss_eval.iloc[-1]
            assert run.final_running_train_loss == pytest.approx(evaluated, rel=1e-12)
        assert run.run_key.startswith(f"{run.cell}-s{run.seed}-")
    record = blocks[1].record
    assert runs.seconds.iloc[-1] == record["seconds"] / 3
    assert list(runs)[-1] == "seconds" and runs.notna().all(axis=None)


def test_with_minibatches_epochs_are_counted_on_the_evaluated_train_loss(trained):
    """The recorded one is of networks that change meanwhile."""
    block = trained[1]
    curves = block.curves().to_pandas()
    first = curves[curves.epoch == 0].set_index("seed")
    between = (first.train_loss + first.train_loss_eval)[1] / 2
    runs = runs_of([block], all_diagnostics(trained, slice(0)), (between,))
    reached = runs[threshold_columns(between)[0]][0] == 1
    assert reached == (first.train_loss_eval[1] < first.train_loss[1])


def test_other_tasks_have_thresholds_of_their_own_under_the_articles_names(trained, monkeypatch):
    blocks = trained
    monkeypatch.setattr(
        members.load("tasks", "friedman"), "THRESHOLDS", {22.58: 1e9}, raising=False
    )
    assert thresholds("friedman", [22.58]) == {22.58: 1e9}
    runs = runs_of(blocks, all_diagnostics(trained)).set_index("task")
    epochs, reached = threshold_columns(22.58)
    assert runs.loc["friedman", epochs].tolist() == [1, 1] and runs.loc["friedman", reached].all()


def test_runs_without_snapshots_have_no_features(trained):
    """As those that choose rates."""
    runs = runs_of(trained, all_diagnostics(trained, slice(1)))
    assert runs.final_path_norm.notna().tolist() == [True] * 3 + [False] * 2


def test_curves_that_the_record_does_not_describe_are_refused(trained):
    _, block = trained
    path = block.folder / "curves.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedFile, match=r"curves\.parquet"):
        runs_of([block], all_diagnostics(trained, slice(0)))
    path.write_bytes(whole)


def test_a_scope_without_blocks_has_tables_with_columns(trained):
    nothing = all_diagnostics(trained, slice(0))
    some = all_diagnostics(trained)
    assert nothing.schema == some.schema and len(nothing) == 0
    (curves,) = collect_curves([])
    assert curves.schema == next(collect_curves(trained)).schema
    assert list(runs_of([], nothing)) == list(runs_of(trained, some))
    assert list(experiments_table([])) == ["experiment", "cell", "first_seed", "seeds", *SETTINGS]


def test_an_experiments_row_names_its_cells_settings():
    cell = Cell(**ARTICLE | {"arm": "none", "width": 10})
    row = {"experiment": "grid", "cell": cell.name, "first_seed": 5, "seeds": 2} | cell.values()
    pd.testing.assert_frame_equal(experiments_table([row]), pd.DataFrame([row]))


def test_a_study_may_have_more_cells_than_a_byte_counts():
    """The extended study has 250."""
    settings = Cell(**ARTICLE | {"arm": "none", "width": 3}).values()
    rows = {"seed": [0], "epoch": [1]}
    tables = [of_cell(settings | {"cell": f"cell-{n}"}, rows, ROW) for n in range(300)]
    assert collect_diagnostics(tables, []).to_pandas().cell.nunique() == 300
