"""Every figure draws from small tables, also from empty ones, to the same bytes each time."""

from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from made_up import digits, experiments, gradients, over_epochs, runs

from bnstudy.analysis.comparisons import significance
from bnstudy.analysis.effects import effects, horizon
from bnstudy.analysis.envelope import envelope
from bnstudy.analysis.wording import claims_table
from bnstudy.config import members
from bnstudy.config.models import Study
from bnstudy.config.plan import SETTINGS
from bnstudy.report import cell_curves, style
from bnstudy.report.captions import captions
from bnstudy.report.tables import read_tables

FIGURES = members.names("figures")
# All tables of a scope, as the rules make them.
TABLES = {"curves.parquet", "curves_thinned.parquet", "diagnostics.parquet", "experiments.csv"}
TABLES |= {"runs.csv", "significance.csv", "sensitivity.csv", "claims.csv", "effects.csv"}
TABLES |= {"tuning.csv", "horizon.csv", "gradients.csv", "digits.csv", "digits_curves.csv"}
TABLES |= {"digits_tuning.csv", "mnist1d.csv", "mnist1d_curves.csv", "mnist1d_tuning.csv"}
TABLES |= {"depth_training.csv", "curvature.csv", "prediction.csv", "envelope.csv"}
ARMS = ("batch", "batch-matched", "layer-norm")
BUDGETS = ((100, 1000), ("full", 10_000), ("full", 300))  # batch size and epochs of tuned runs


@pytest.fixture(scope="module")
def study(default_config):
    analysis = {"permutations": 999, "bootstraps": 999, "final_window": 5}
    analysis = default_config["analysis"] | analysis
    return Study.from_config(default_config | {"analysis": analysis})


@pytest.fixture(scope="module")
def tables(study):
    """The tables of a scope with a number of seeds per cell: a function of the number."""
    return cache(partial(made_tables, study))


def curvature_of(made):
    """A row per run and network that was looked at, as read from a table."""
    table = over_epochs(made, [-1, 0, 9, 99, 999, 9999])
    columns = {"condition_effective": 1e3 / table.train_loss, "stability": table.saturated_share}
    return table.assign(**columns).astype(made.dtypes[["cell", *SETTINGS]].to_dict())


def minibatch_runs(study, count, size, epochs):
    """Runs of three arms tuned for the final loss, at the width for minibatches, as read from a
    table in which some batch is full."""
    budget = {"batch_size": size, "epochs": epochs, "tuned_for": "final_test_loss"}
    arms = ("batch", "layer-norm")
    widths = (study.analysis.minibatches.width,)
    return runs(study.analysis, widths, count, arms=arms, **budget).astype({"batch_size": str})


def task_runs(study, count):
    """Tuned runs of seven tasks on three kinds of inputs."""
    tasks = ["article", "even", "friedman", "linear", "odd", "polynomials", "product"]
    tuned = study.analysis.tasks.model_dump() | {"tuned_for": "epochs_to_0.2258"}
    width = tuned.pop("width")
    cells = [
        runs(study.analysis, [width], count, 0.3 + 0.1 * i, task=task, inputs=inputs, **tuned)
        for i, task in enumerate(tasks)
        for inputs in ("plain", "shifted", "stretched")
    ]
    return pd.concat(cells, ignore_index=True).astype({"batch_size": str})


def deep_runs(count):
    """Three quarters of the deep networks without BN train at one rate if σ_w is 2, else none; all
    with BN do at either rate."""
    rows = [
        (
            scale,
            norm,
            rate,
            s,
            norm == "batch" or (scale == 2 and rate == 0.01 and s < 0.75 * count),
        )
        for scale in (1.0, 2.0, 5.0)
        for norm in ("none", "batch")
        for rate in (0.001, 0.01)
        for s in range(count)
    ]
    return pd.DataFrame(rows, columns=["scale", "norm", "learning_rate", "seed", "reached"])


def made_tables(study, count):
    """The tables of a scope with `count` seeds per cell; with none, tables without rows."""
    grid = runs(study.analysis, widths=(10, 300), count=max(count, 1), arms=ARMS)
    other = [
        runs(study.analysis, (300,), max(count, 1), learning_rate=0.01),
        runs(study.analysis, (300,), max(count, 1), task="odd", optimizer="sgd", arms=ARMS),
        *(minibatch_runs(study, max(count, 1), *budget) for budget in BUDGETS),
        task_runs(study, max(count, 1)),
    ]
    original = runs(study.analysis, widths=(300,), count=1, first=0)
    names = ("rates", "tasks", *(f"minibatches_{size}_{epochs}" for size, epochs in BUDGETS))
    names += ("task_tuned",)
    named = experiments(grid=grid, **dict(zip(names, other, strict=True)), original=original)
    every = pd.concat([grid, *other, original], ignore_index=True)
    curves = over_epochs(every, range(50))
    long = curves[(curves.task == "article") & curves.arm.isin(["none", "batch"])]
    if count == 0:
        every, curves, named, long = every[:0], curves[:0], named[:0], long[:0]
    at_rates = long[long.width == 300].astype({"learning_rate": float})
    rates = [
        pd.concat([cells, cells.assign(seed=cells.seed - 2000, learning_rate=0.1)])
        for _, cells in at_rates.groupby("arm", observed=True)
    ]
    steps = pd.DataFrame({"epoch": range(16), "validation_loss": np.geomspace(2, 0.1, 16)})
    of_digits = digits(count)
    made = {"runs": every, "gradients": gradients(count), "digits": of_digits}
    made["depth_training"] = deep_runs(count)
    made["mnist1d"] = digits(count, ratios=(0.9, 1.1))
    on_steps = of_digits[["network", "arm", "seed"]].merge(steps, how="cross")
    tests = significance(made, study)
    return {
        **made,
        "curves_thinned": curves,
        "diagnostics": curves,
        "experiments": named,
        "digits_curves": on_steps,
        "mnist1d_curves": on_steps,
        "significance": tests,
        "claims": claims_table(tests, study),
        "effects": effects(every, named, study),
        "envelope": envelope(rates, study),
        "curvature": curvature_of(every),
        "horizon": horizon([long[long.width == 10]] if count else [], study, points=5),
    }


@pytest.mark.parametrize("name", FIGURES)
def test_figures_draw_and_their_bytes_repeat(study, tables, name, tmp_path):
    made = tables(8)
    for suffix in style.METADATA:
        first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        for path in (first, second):
            style.save(members.load("figures", name).draw(made, study), path, preview=False)
        assert first.read_bytes() == second.read_bytes() and first.stat().st_size > 1000


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("count", [1, 0])
def test_figures_draw_from_next_to_nothing(study, tables, name, count, tmp_path):
    figure = members.load("figures", name).draw(tables(count), study)
    style.save(figure, tmp_path / "a.svg", preview=True)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_name_tables_that_are_made_and_a_caption_that_is_filled(study, name):
    assert set(members.declared("figures", name)["TABLES"]) <= TABLES
    title, text, tables = captions(study)[name]
    assert title and len(text) > 50 and "{" not in text and " –" not in text and tables


def test_captions_do_without_the_experiments_that_are_absent(config, study):
    for name in ("depth", "depth_training", "digits", "mnist1d"):
        del config["experiments"][name]
    config["default_experiments"] = ["grid"]
    without = captions(Study.from_config(config))
    assert without.keys() == captions(study).keys() and "a stack of – hidden" in str(without)


def test_a_caption_with_an_unknown_setting_is_refused_by_its_file(study, monkeypatch):
    caption = {"TITLE": "x", "CAPTION": "{nonsense}"}
    monkeypatch.setattr(members, "declared", lambda kind, name: caption)
    with pytest.raises(ValueError, match=r"figures/arms\.py: 'nonsense' in CAPTION; known: level"):
        captions(study)


def legend(figure):
    """The texts of a figure's legends and its axes'."""
    found = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [text.get_text() for one in found if one for text in one.get_texts()]


def test_deep_networks_are_shown_at_their_best_rate_and_at_each(study, tables):
    """Of 8 networks 6 train. Clopper-Pearson: 0.349 to 0.968 (binom.test of R)."""
    [axes] = members.load("figures", "depth_training").draw(tables(8), study).axes
    none, batch = axes.containers
    assert list(none.lines[0].get_xdata()) == pytest.approx([1, 2, 5], rel=0.05)
    assert list(none.lines[0].get_ydata()) == [0, 0.75, 0]
    assert list(batch.lines[0].get_ydata()) == [1, 1, 1]
    low, high = none.lines[2][0].get_segments()[1][:, 1]
    assert (low, high) == pytest.approx((0.349, 0.968), abs=5e-4)
    thin = [list(line.get_ydata()) for line in axes.lines if line.get_linewidth() == 0.5]
    assert thin == [[0, 0, 0], [0, 0.75, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(("name", "ratios"), [("digits", (0.8, 0.8)), ("mnist1d", (0.9, 1.1))])
def test_two_networks_show_the_ratios_of_their_own_images(study, tables, name, ratios):
    axes = members.load("figures", name).draw(tables(8), study).axes[-1]
    means = [errors.lines[0].get_xdata()[0] for errors in axes.containers]
    assert means == pytest.approx(ratios, rel=0.05)


@pytest.mark.parametrize("name", ["arms", "features", "settings_ratio"])
def test_any_arm_that_was_trained_is_in_the_legend(study, tables, name):
    figure = members.load("figures", name).draw(tables(8), study)
    assert {style.look(arm).label for arm in ARMS} <= set(legend(figure))


def test_any_task_and_optimizer_has_a_row_among_the_settings(study, tables):
    axes = members.load("figures", "settings_ratio").draw(tables(8), study).axes[0]
    labels = " ".join(tick.get_text() for tick in axes.get_yticklabels())
    assert "odd" in labels and "sgd" in labels and "0.01" in labels


def test_minibatches_and_the_full_batch_at_equal_steps_are_compared(study, tables):
    """1,000 epochs of 10 steps and 10,000 of one; a line per evaluation that differs: of BN."""
    made = tables(8)
    (axes,) = members.load("figures", "batch_size").draw(made, study).axes
    lines = [line for line in axes.lines if len(line.get_xdata())]
    assert len(lines) == 1 + 3 + 1 and axes.get_xscale() == axes.get_yscale() == "log"
    colours = [line.get_color() for line in lines]
    arms = ("none", "batch", "batch", "batch", "layer-norm")
    assert colours == [style.look(arm).colour for arm in arms]
    cells = made["runs"].query("arm == 'batch' and tuned_for == 'final_test_loss'")
    losses = [cells[cells.epochs == e].final_test_loss.median() for e in (1000, 10_000)]
    for line, times in zip(lines[1:4], (4, 2, 1), strict=True):  # as they are made up
        assert list(line.get_xdata()) == [100, 1000]
        assert list(line.get_ydata()) == pytest.approx([times * loss for loss in losses])
    assert len({line.get_linestyle() for line in lines[1:4]}) == 3
    assert "width 100, n = 8" in axes.get_title()
    full = {"runs": made["runs"].query("batch_size == 'full'")}
    (axes,) = members.load("figures", "batch_size").draw(full, study).axes
    assert "n = 0" in axes.get_title()


def test_condition_numbers_of_the_grid_start_with_the_untrained_network(study, tables):
    """At 0 on an axis that is logarithmic from 1 on; runs at other rates and of other tasks are not
    shown; a line at 1 where Adam gets unstable."""
    made = tables(8)["curvature"]
    made = made[made.width == 10]
    left, right = members.load("figures", "condition").draw({"curvature": made}, study).axes
    assert [line.get_color() for line in left.lines] == [
        style.look(arm).colour for arm in ("none", *ARMS)
    ]
    grid = made[(made.learning_rate == 0.001) & (made.task == "article") & (made.arm == "none")]
    for axes, name in ((left, "condition_effective"), (right, "stability")):
        line = axes.lines[0]
        assert list(line.get_xdata()) == [0, 1, 10, 100, 1000, 10_000]
        medians = grid.groupby("epoch")[name].median()
        assert list(line.get_ydata()) == pytest.approx(list(medians))
        assert axes.get_xscale() == "symlog" and axes.get_yscale() == "log"
    assert list(right.lines[-1].get_ydata()) == [1, 1] and "width 10, n = 8" in left.get_title()


@pytest.mark.parametrize("arm", members.names("arms"))
def test_every_arm_has_a_look_of_its_own(arm):
    shown = style.look(arm)
    assert members.declared("arms", arm).keys() >= set(members.LOOKS)
    others = [style.look(other) for other in members.names("arms") if other != arm]
    assert shown.label not in {other.label for other in others}
    assert shown[1:] not in {other[1:] for other in others}


def test_the_pair_comes_first_and_the_others_as_they_appear():
    assert style.ordered(["dropout", "batch", "centred", "none", "dropout"]) == [
        "none",
        "batch",
        "dropout",
        "centred",
    ]


def test_figure_one_has_the_articles_legend_and_colours(study, tables):
    made = tables(3)
    draw = members.load("figures", "loss_curves").draw
    left, right = draw(made, study).axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["train with BN", "test with BN", "train without BN", "test without BN"]
    assert [line.get_color() for line in left.lines] == ["red", "red", "blue", "blue"]
    assert [line.get_linestyle() for line in left.lines] == ["-", "--", "-", "--"]
    assert left.get_yscale() == "log" and "width 300, seed 0" in left.get_title()
    assert "3 seeds" in right.get_title()
    others = made["experiments"].query("experiment != 'original'")
    left, right = draw(made | {"experiments": others}, study).axes
    assert not left.lines and "no experiment" in left.get_title() and right.get_legend()


def test_the_curves_of_a_cell_say_so_where_all_runs_diverged(tmp_path):
    epochs = {"seed": np.repeat([1, 2], 9), "epoch": np.tile(range(9), 2)}
    curves = pd.DataFrame({**epochs, "train_loss": 1 / (1 + epochs["epoch"]), "test_loss": np.inf})
    figure = cell_curves.draw(curves, "layer-norm", "layer-norm-w10")
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert len(figure.axes[0].lines) == 3 and texts == ["all diverged at epoch 0"]
    assert "layer-norm-w10" in figure.axes[0].get_title()
    style.save(figure, tmp_path / "a.png", preview=False)


def test_where_all_rates_diverged_the_envelope_is_empty(study, tables, tmp_path):
    nothing = tables(1)["envelope"].assign(test_loss=np.inf, learning_rate=np.nan)
    figure = members.load("figures", "envelope").draw({"envelope": nothing}, study)
    assert not any(axes.lines for axes in figure.axes)
    style.save(figure, tmp_path / "a.svg", preview=False)


def test_tables_are_read_by_their_stem(tables, tmp_path):
    made = tables(1)
    made["runs"].to_csv(tmp_path / "runs.csv", index=False)
    made["curves_thinned"].to_parquet(tmp_path / "curves_thinned.parquet")
    read = read_tables([tmp_path / "runs.csv", tmp_path / "curves_thinned.parquet"])
    pd.testing.assert_frame_equal(read["runs"], made["runs"], check_dtype=False)
    assert read["curves_thinned"].arm.dtype == "category"


def test_tasks_are_sorted_by_their_ratio_and_pooled_below(study, tables):
    [axes] = members.load("figures", "tasks").draw(tables(8), study).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "article" and names[6:] == ["product", "the mean task", "a new task"]
    assert legend(axes.figure) == ["plain", "shifted", "stretched"]
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(points) == 7 * 3 + 2


def test_budgets_are_those_of_the_full_batch_at_one_width(study, tables):
    [axes] = members.load("figures", "budgets").draw(tables(8), study).axes
    [line] = [line for line in axes.lines if line.get_marker() == "o"]
    assert list(line.get_xdata()) == [300, 10_000]


def test_parts_have_a_row_for_each_arm_and_a_panel_for_each_quantity(study, tables):
    panels = members.load("figures", "parts").draw(tables(8), study).axes
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert names == ["with BN", "layer norm", "with BN (3000)"]
    assert [len(axes.containers) for axes in panels] == [1, 2]
