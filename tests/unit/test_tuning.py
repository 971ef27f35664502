"""What tuning seeds choose: the choice itself, the plan of tuned cells, and what is refused."""

import jaxtyping
import numpy as np
import pandas as pd
import pytest

from bnstudy.analysis import tuning
from bnstudy.config.cell import ARTICLE, Cell
from bnstudy.config.checks import ConfigError
from bnstudy.config.models import Study
from bnstudy.config.plan import Plan
from bnstudy.files import write_csv

OPTIONS = {"final_window": 500, "thresholds": [0.2], "bootstraps": 999, "seed": 1}
TUNED = ARTICLE | {"learning_rate": None, "schedule": None, "tuned_for": "final_test_loss"}
CELL = Cell(arm="none", width=3, **TUNED)


@pytest.fixture
def tried(monkeypatch):
    """The table of tried settings from outcomes {(rate, schedule): [one per seed]}; infinity: it
    diverged."""

    def tried(outcomes, cell=CELL, **options):
        def of_block(block, window, thresholds):
            """Seeds of cosine in another order than those of constant."""
            assert (window, thresholds) == (OPTIONS["final_window"], OPTIONS["thresholds"])
            (rate, schedule), values = block
            order = slice(None, None, -1 if schedule == "cosine" else 1)
            return pd.DataFrame(
                {
                    "seed": range(len(values))[order],
                    "learning_rate": rate,
                    "schedule": schedule,
                    "status": np.where(np.isinf(values), "diverged", "finished")[order],
                    cell.tuned_for: np.where(np.isinf(values), 7, values)[order],
                }
            )

        monkeypatch.setattr(tuning, "outcomes_of_block", of_block)
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # made-up blocks
        return tuning.tried(list(outcomes.items()), cell.values(), **OPTIONS | options)

    return tried


def test_the_least_geometric_mean_is_chosen(tried):
    """4 and 9 have the mean 6.5 and the geometric mean 6; 6.2 has the smaller mean alone."""
    table = tried(
        {(0.1, "constant"): [6.2, 6.2], (0.3, "cosine"): [4, 9], (0.3, "constant"): [7, 8]}
    )
    assert tuning.chosen(table, 1) == {"learning_rate": 0.3, "schedule": "cosine"}
    assert tuning.chosen(table, 2) == {"learning_rate": 0.1, "schedule": "constant"}
    best, second, _ = table.itertuples()
    assert best.score == pytest.approx(6) and second.over_best == pytest.approx(6.2 / 6)
    assert list(table["rank"]) == [1, 2, 3] and set(table.tuned_for) == {"final_test_loss"}


def test_a_run_that_diverged_is_worse_than_all_others(tried):
    table = tried({(0.1, "constant"): [1, np.inf, 1], (0.3, "constant"): [90, 90, 90]})
    assert tuning.chosen(table, 1)["learning_rate"] == 0.3
    assert list(table.diverged) == [0, 1] and np.isinf(table.score.iloc[1])


@pytest.mark.parametrize("value", [5.0, np.inf])
def test_ties_go_to_the_smaller_rate(tried, value):
    outcomes = {(rate, "constant"): [value] * 3 for rate in (0.3, 0.03, 0.1)}
    table = tried(outcomes)
    assert tuning.chosen(table, 1)["learning_rate"] == 0.03 and table.share_chosen.iloc[0] == 1


def test_many_ties_are_in_the_order_of_their_rates(tried):
    """More than numpy sorts by insertion."""
    rates = range(1, 41)
    table = tried({(rate, "constant"): [1 + rate % 3] for rate in rates})
    assert list(table.learning_rate) == sorted(rates, key=lambda rate: rate % 3)
    assert list(table["rank"]) == list(range(1, 41))


@pytest.mark.parametrize(("best", "edge"), [(0.01, True), (0.03, False), (0.1, True)])
def test_a_choice_at_the_edge_of_its_schedules_rates_is_marked(tried, best, edge):
    outcomes = {(rate, "cosine"): [1 + abs(rate - best)] for rate in (0.01, 0.03, 0.1)}
    table = tried(outcomes | {(rate, "constant"): [9] for rate in (0.001, 1.0)})
    assert table.at_edge.iloc[0] == edge


def test_a_rate_that_is_no_better_than_one_between_is_at_no_edge(tried):
    """Where none gets to the threshold, say."""
    table = tried({(rate, "cosine"): [9, 9] for rate in (0.01, 0.03, 0.1)})
    assert table.learning_rate.iloc[0] == 0.01 and not table.at_edge.any()
    assert tried({(rate, "cosine"): [9, 9] for rate in (0.01, 0.1)}).at_edge.all(), (
        "none is between"
    )


def test_how_often_other_tuning_seeds_would_choose_otherwise(tried):
    """Of two seeds drawn from two, three of four draws hold the first: it decides those by far."""
    outcomes = {(0.1, "constant"): [1, 3], (0.3, "cosine"): [100, 2]}
    table = tried(outcomes, bootstraps=99_999)
    np.testing.assert_allclose(table.share_chosen, [0.75, 0.25], atol=0.005)
    assert set(table.seeds) == {2}
    again = tried(outcomes, bootstraps=99_999)
    pd.testing.assert_frame_equal(again, table)
    assert tried(outcomes, bootstraps=99_999, seed=2).share_chosen[0] != table.share_chosen[0]


def test_a_run_that_diverged_is_the_worst_of_any_draw_that_holds_it(tried):
    """Of two seeds drawn from two, one of four draws is without the second."""
    table = tried({(0.1, "constant"): [1, np.inf], (0.3, "constant"): [90, 90]}, bootstraps=99_999)
    np.testing.assert_allclose(table.share_chosen, [0.75, 0.25], atol=0.005)
    assert list(table) == [*tuning.SETTINGS, *tuning.COLUMNS]


def test_a_draw_without_the_run_that_diverged_is_as_if_it_had_not(tried):
    """Then the other rate's run is the better one as well."""
    table = tried({(0.1, "constant"): [np.inf, 5], (0.3, "constant"): [1, 1]})
    assert list(table.learning_rate) == [0.3, 0.1] and list(table.share_chosen) == [1, 0]


def test_whether_the_choice_for_any_task_is_at_the_edge(tried):
    table = tried({(rate, "cosine"): [1 + rate] for rate in (0.01, 0.03, 0.1)})
    settings = {"width": 3, "tuned_for": "final_test_loss"}
    assert tuning.task_at_edge(table, settings, ("batch", "none"))
    assert not tuning.task_at_edge(table, settings, ("batch", "scaled"))
    assert not tuning.task_at_edge(table, settings | {"width": 4}, ("batch", "none"))
    assert not tuning.task_at_edge(table.iloc[1:], settings, ("batch", "none"))
    assert not tuning.task_at_edge(tuning.tuning_table([]), settings, ("batch", "none"))


def test_of_no_tuned_cell_there_is_an_empty_table():
    assert list(tuning.tuning_table([]))[-1] == "at_edge" and not len(tuning.tuning_table([]))


def test_the_tables_of_tuned_cells_are_one_table(tried):
    table = tried({(0.1, "constant"): [2], (0.3, "constant"): [1]})
    both = tuning.tuning_table([table, table])
    assert list(both.learning_rate) == [0.3, 0.1, 0.3, 0.1] and list(both.index) == [0, 1, 2, 3]


def test_what_is_at_the_edge_is_named_and_found_by_its_settings(tried, default_config, tmp_path):
    study = Study.from_config(default_config)
    table = tried({(rate, "cosine"): [1 + rate] for rate in (0.01, 0.03, 0.1)})
    write_csv(tmp_path / "tuning.csv", table)
    [line] = tuning.edges(tmp_path)
    assert line == (
        "none on article (plain), adam, width 3, batch size full, for final_test_loss: cosine 0.01 "
        "is at the edge of the rates tried; add rates there"
    )
    settings = {"width": 3, "tuned_for": "final_test_loss"}
    assert tuning.at_edge(table, study, settings, ("batch", "none"))
    assert not tuning.at_edge(table, study, settings, ("batch", "scaled"))
    assert not tuning.at_edge(table, study, settings | {"width": 4}, ("batch", "none"))
    other = settings | {"batch_size": 100}
    assert not tuning.at_edge(table, study, other, ("batch", "none")), "the full batch's is another"
    with_size = table.assign(batch_size=100)
    assert not tuning.at_edge(with_size, study, settings, ("batch", "none")), "nor the other way"
    assert not tuning.at_edge(table, study, {"width": 3}, ("batch", "none")), (
        "nothing was tuned there"
    )
    inner = tried({(rate, "cosine"): [1 + abs(rate - 0.03)] for rate in (0.01, 0.03, 0.1)})
    write_csv(tmp_path / "tuning.csv", inner)
    assert tuning.edges(tmp_path) == [] and not tuning.at_edge(inner, study, settings, ("none",))


@pytest.mark.parametrize(("table", "images"), [("digits", "digits"), ("mnist1d", "MNIST-1D")])
def test_a_choice_at_the_edge_on_digits_is_named(tmp_path, table, images):
    row = {"network": "dense", "arm": "none", "learning_rate": 0.1, "at_edge": True}
    rows = pd.DataFrame([row | {"rank": 1}, row | {"rank": 2, "learning_rate": 0.001}])
    write_csv(tmp_path / f"{table}_tuning.csv", rows)
    [line] = tuning.edges(tmp_path)
    assert line.startswith(f"none, dense network on {images}: 0.1 is at the edge of the rates tri")


# --- the plan -------------------------------------------------------------------------------------


@pytest.fixture
def config(config):
    config["experiments"] = {
        "rates": {
            "seeds": "tuning",
            "arm": ["none", "batch"],
            "width": [5, 6],
            "learning_rate": [0.01, 0.1],
            "schedule": ["constant", "cosine"],
        },
        "best": {"arm": ["none", "batch"], "width": 5, "tuned_by": "rates"},
    }
    config["default_experiments"] = ["best"]
    return config


def test_a_tuned_cell_is_there_for_each_arm_and_objective(config):
    plan = Plan(Study.from_config(config))
    assert sorted(cell.name for cell in plan.cells if cell.tuned) == [
        f"{arm}-w5-tuned-{objective}"
        for arm in ("batch", "none")
        for objective in ("epochs-to-0.002258", "epochs-to-0.2258", "final-test-loss")
    ]
    rows = [row for row in plan.rows("") if row["arm"] == "none"]
    assert {row["learning_rate"] for row in rows} == {None}
    assert {row["tuned_for"] for row in rows} == set(config["analysis"]["objectives"])


def test_it_is_chosen_from_the_cells_that_differ_in_rate_and_schedule_alone(config):
    plan = Plan(Study.from_config(config))
    cell = plan.cell("batch-w5-tuned-final-test-loss")
    tried = plan.tried(cell)
    assert {block.cell.name for block in tried} == {
        f"batch-w5-lr{rate}{schedule}" for rate in (0.01, 0.1) for schedule in ("", "-cosine")
    }
    assert all(plan.tuning_seeds(cell, block) == [0, 1, 2, 3, 4] for block in tried)


def test_other_seeds_of_the_cells_tried_choose_nothing(config):
    """No study seed enters a choice, though it is trained at the same rate."""
    config["experiments"]["others"] = {"arm": "batch", "width": 5, "learning_rate": 0.1}
    plan = Plan(Study.from_config(config))
    cell = plan.cell("batch-w5-tuned-final-test-loss")
    seeds = {seed for block in plan.tried(cell) for seed in plan.tuning_seeds(cell, block)}
    assert seeds == {0, 1, 2, 3, 4}


def test_an_objective_waits_for_those_before_it(config):
    """Which may have been tuned to the same."""
    plan = Plan(Study.from_config(config))
    objectives = config["analysis"]["objectives"]
    for block in plan.blocks(""):
        before = objectives[: objectives.index(block.cell.tuned_for)]
        assert [twin.cell.tuned_for for twin in plan.twins(block)] == before


def test_the_runner_up_is_a_cell_of_its_own(config):
    config["experiments"]["second"] = config["experiments"]["best"] | {"tuned_rank": 2}
    plan = Plan(Study.from_config(config))
    cell = plan.cell("batch-w5-tuned-final-test-loss-rank2")
    assert cell.tuned_rank == 2
    assert plan.tried(cell) == plan.tried(plan.cell("batch-w5-tuned-final-test-loss"))


def test_a_job_is_told_what_is_not_chosen(config):
    settings = Plan(Study.from_config(config)).job_settings(CELL)
    assert "learning_rate" not in settings and settings["tuned_for"] == "final_test_loss"
    usual = Plan(Study.from_config(config)).job_settings(Cell(arm="none", width=3, **ARTICLE))
    assert "tuned_for" not in usual and usual["learning_rate"] == 0.001


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tuned_by": "rate"}, "experiments.best.tuned_by is 'rate', no experiment; did you mean"),
        ({"tuned_for": "final_loss"}, "experiments.best.tuned_for[0] is 'final_loss', none of"),
        ({"tuned_rank": 5}, "experiments.best.tuned_rank is 5, but rates tries 4 settings of an"),
        ({"tuned_rank": 0}, "experiments.best.tuned_rank is 0: Input should be greater than 0"),
        ({"tuned_by": "best"}, "experiments.best.tuned_by is 'best', no experiment"),
        ({"seeds": "tuning"}, "best and rates both hold seed 0"),
        ({"seeds": {"first": 4, "count": 3}}, "best and rates both hold seed 4"),
        ({"learning_rate": 0.1}, "tuned_by chooses learning_rate and schedule"),
        ({"width": [5, 7]}, "rates has no runs with width 7"),
        ({"arm": "scaled", "epochs": 20}, "rates has no runs with epochs 20, arm scaled"),
    ],
)
def test_what_cannot_be_tuned_is_refused(config, changes, says):
    config["experiments"]["best"] |= changes
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as refused:
        Study.from_config(config)
    assert says in str(refused.value)


def test_a_cell_that_two_experiments_would_tune_is_refused(config):
    config["experiments"]["more"] = config["experiments"]["rates"] | {"learning_rate": [0.3, 1.0]}
    config["experiments"]["again"] = config["experiments"]["best"] | {"tuned_by": "more"}
    with pytest.raises(ConfigError, match=r"again\.tuned_by is 'more', but rates tunes"):
        Study.from_config(config)


def test_an_experiment_without_rates_tunes_nothing(config):
    del config["experiments"]["rates"]["learning_rate"], config["experiments"]["rates"]["schedule"]
    with pytest.raises(ConfigError, match="rates names no learning_rate and no schedule"):
        Study.from_config(config)


@pytest.mark.parametrize("name", ["learning_rate", "schedule"])
def test_rates_or_schedules_alone_can_be_chosen_from(config, name):
    del config["experiments"]["rates"][name]
    Study.from_config(config)


@pytest.mark.parametrize("objective", ["epochs_to_0.3", "loss"])
def test_an_objective_is_an_outcome(config, objective):
    config["analysis"]["objectives"] = [objective]
    with pytest.raises(ConfigError, match=r"objectives\[0\] is .*unknown"):
        Study.from_config(config)
