"""Every figure draws from small tables, also from degenerate ones, to the same bytes each time."""

import numpy as np
import pandas as pd
import pytest
from made_up import FEATURES

from bnstudy import figures
from bnstudy.extended import effects, horizon
from bnstudy.figures import (
    arms,
    digits,
    epochs_ratio,
    features,
    final_loss_ratio,
    final_window,
    gradient_depth,
    loss_curves,
    profiles,
    settings_ratio,
    style,
    survival,
)
from bnstudy.figures import horizon as horizon_figure
from bnstudy.figures.captions import CAPTIONS
from bnstudy.hypotheses import significance
from bnstudy.study import FigureSettings

MODULES = [loss_curves, final_loss_ratio, epochs_ratio, survival, profiles, arms, gradient_depth,
           features, digits, final_window, horizon_figure, settings_ratio]  # fmt: skip


def study(config, **analysis) -> FigureSettings:
    settings = {key: config[key] for key in ("preview", "grid", "original", "analysis")}
    settings["analysis"] |= {"permutations": 999, "bootstraps": 999} | analysis
    return FigureSettings(**settings)


def tables(settings: FigureSettings, count: int) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(1)
    runs, curves = [], []
    for width in (10, 300):
        for arm in ("none", "batch", "batch-matched"):
            for seed in (0, *range(1000, 1000 + count)):
                losses = np.geomspace(100, 1e-3, 50) * np.exp(rng.normal(0, 0.1, 50))
                row = {"arm": arm, "width": width, "seed": seed, "in_grid": seed > 0,
                       "status": "finished", "final_test_loss": np.median(losses[-5:]),
                       "last_test_loss": losses[-1], "final_train_loss": losses[-1],
                       **{f"final_{name}": rng.lognormal() for name in FEATURES}}  # fmt: skip
                for threshold in settings.analysis.thresholds:
                    row[f"epochs_to_{threshold:g}"] = rng.integers(10, 50)
                    row[f"reached_{threshold:g}"] = threshold > 0.01
                runs.append(row)
                if width == settings.original.width:
                    both = {"train_loss": losses, "test_loss": losses}
                    curve = {"arm": arm, "seed": seed, "epoch": range(50)} | both
                    curves.append(pd.DataFrame(curve))
    runs, curves = pd.DataFrame(runs), pd.concat(curves)
    measures = pd.DataFrame([
        {"arm": run.arm, "width": run.width, "seed": run.seed, "epoch": epoch,
         **{name: rng.lognormal() for name in FEATURES}}
        for run in runs.itertuples() if run.width == 300 for epoch in (0, 3, 49)
    ])  # fmt: skip
    probes = probe_tables(rng, count)
    settled = runs[runs.in_grid & (runs.arm != "batch-matched")]
    extended = settled.assign(kind="learning_rate", variant="lr", learning_rate=0.01)
    analysis = settings.analysis.model_copy(update={"final_window": 5})
    return {
        "runs": runs, "curves": curves, "measures": measures, **probes,
        "significance": significance({"runs": runs, **probes}, settings.analysis),
        "effects": effects(extended, settled, settings.analysis),
        "horizon": horizon(curves[curves.seed > 0].assign(width=300), analysis, points=5),
    }  # fmt: skip


def probe_tables(rng: np.random.Generator, count: int) -> dict[str, pd.DataFrame]:
    seeds = range(1000, 1000 + count)
    runs = [{"arm": arm, "seed": seed} for arm in ("none", "batch") for seed in seeds]
    gradients = [
        {"initialization": name, **run, "layer": layer, "gradient_norm": rng.lognormal()}
        for name in ("unscaled", "fan-in") for run in runs for layer in range(1, 6)
    ]  # fmt: skip
    digits = [
        {"network": name, **run, "threshold": 0.23, "epochs_to_threshold": rng.integers(5, 16)}
        for name in ("dense", "convolutional") for run in runs
    ]  # fmt: skip
    curves = [
        {"network": run["network"], "arm": run["arm"], "seed": run["seed"], "epoch": epoch,
         "validation_loss": rng.lognormal()} for run in digits for epoch in range(16)
    ]  # fmt: skip
    columns = {
        "gradients": ["initialization", "arm", "seed", "layer", "gradient_norm"],
        "digits": ["network", "arm", "seed", "threshold", "epochs_to_threshold"],
        "digits_curves": ["network", "arm", "seed", "epoch", "validation_loss"],
    }
    rows = {"gradients": gradients, "digits": digits, "digits_curves": curves}
    return {name: pd.DataFrame(rows[name], columns=columns[name]) for name in rows}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_figures_draw_and_their_bytes_repeat(config, module, tmp_path):
    settings = study(config)
    made = tables(settings, 8)
    for suffix in style.METADATA:
        first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        for path in (first, second):
            style.save(module.draw(made, settings), path, preview=False)
        assert first.read_bytes() == second.read_bytes() and first.stat().st_size > 1000


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
@pytest.mark.parametrize("count", [1, 0])
def test_figures_draw_from_next_to_nothing(config, module, count, tmp_path):
    settings = study(config)
    style.save(module.draw(tables(settings, count), settings), tmp_path / "a.svg", preview=True)


def test_figure_one_has_the_articles_legend_and_colours(config):
    settings = study(config)
    left = loss_curves.draw(tables(settings, 3), settings).axes[0]
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["train with BN", "test with BN", "train without BN", "test without BN"]
    assert [line.get_color() for line in left.lines] == ["red", "red", "blue", "blue"]
    assert [line.get_linestyle() for line in left.lines] == ["-", "--", "-", "--"]
    assert left.get_yscale() == "log" and figures.__doc__


def test_every_figure_has_a_caption():
    names = {module.__name__.split(".")[-1] for module in MODULES}
    assert names == set(CAPTIONS)
