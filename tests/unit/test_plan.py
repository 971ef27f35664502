"""From experiments to cells and blocks: what is trained, once, and by which jobs."""

import random
import time
from dataclasses import replace

import pytest

from bnstudy.config import members
from bnstudy.config.models import ARTICLE, Study
from bnstudy.config.plan import SCOPES, SETTINGS, Block, Cell, Plan

# Seconds of processor time for a plan of 200,000 runs with all its jobs: what `import torch` costs.
# Every job on a cluster makes the plan anew, and must not wait for it longer than for PyTorch.
PLANNING = 2.0
OWN = {"first": 5000, "count": 4}


@pytest.fixture
def config(config):
    """In small blocks, so that cells have several."""
    config["training"]["block_size"] = 10
    return config


def plan_of(config: dict, default=None, **experiments) -> Plan:
    """The plan of `config` with these experiments; where some are given, of them alone."""
    if experiments:
        config["experiments"] = experiments
        config["default_experiments"] = default or list(experiments)
    return Plan(Study.from_config(config))


def names(plan: Plan) -> list[str]:
    return [cell.name for cell in plan.cells]


def runs(plan: Plan, scope: str) -> set[tuple[str, int]]:
    """(cell, seed) of all runs that a scope asks for."""
    return {(b.cell.name, seed) for b in plan.blocks(scope) for seed in plan.seeds(b, scope)}


def the_block(plan: Plan, cell: str) -> Block:
    """The only block of a cell."""
    (block,) = (block for block in plan.blocks(SCOPES[1]) if block.cell.name == cell)
    return block


def test_the_default_study(default_config):
    plan = plan_of(default_config)
    wanted = runs(plan, "")
    grid, attribution, original = 4 * 2 * 30, 2 * 2 * 30, 2
    rates, minibatch_rates = (arms_and_sizes * 6 * 2 * 5 for arms_and_sizes in (2, 4))
    tuned, minibatch_tuned = 2 * 3 * 30, 4 * 2 * 30
    count = grid + attribution + original + rates + minibatch_rates + tuned + minibatch_tuned
    assert len(wanted) == count
    assert {seed for name, seed in wanted if name == "batch-w300"} == {0, *range(2000, 2030)}
    assert plan.seeds(plan.block("none-w300", 0)) == [0]
    assert sum(len(plan.seeds(block, "")) for block in plan.blocks("")) == len(wanted)


def test_a_cell_that_two_experiments_name_is_there_once(config):
    config["experiments"]["original"]["seeds"] = {"first": 2000, "count": 3}
    plan = plan_of(config)
    cells = list(plan.cells)
    assert len(set(cells)) == len(cells) == len(set(names(plan)))
    cell = plan.block("none-w300", 2000).cell
    assert set(plan.cells[cell]) == {"original", "grid"}
    assert plan.seeds(plan.block("none-w300", 2000)) == list(range(2000, 2010))
    rows = [row for row in plan.rows("") if row["cell"] == "none-w300"]
    assert [(r["experiment"], r["first_seed"], r["seeds"]) for r in rows] == [
        ("grid", 2000, 30),
        ("original", 2000, 3),
    ]


def test_one_run_is_one_whatever_names_its_settings(config):
    """Steps of full batches are epochs, a batch of all points is a full one, 1 is 1.0."""
    plan = plan_of(
        config,
        a={"arm": "none", "epochs": 200, "learning_rate": 1},
        b={"arm": ["none"], "steps": [200], "batch_size": 1000, "learning_rate": 1.0},
        c={"arm": "none", "epochs": 40, "batch_size": 50},
        d={"arm": "none", "steps": 800, "batch_size": 50},
    )
    assert names(plan) == ["none-w300-b50-e40", "none-w300-lr1.0-e200"]
    assert [set(asked) for asked in plan.cells.values()] == [{"c", "d"}, {"a", "b"}]


def test_lists_multiply(config):
    lists = {"width": [5, 7], "learning_rate": [0.01, 0.1], "schedule": ["constant", "cosine"]}
    plan = plan_of(config, new={"arm": ["none", "batch", "dropout"], "inputs": "shifted", **lists})
    assert len(plan.cells) == 3 * 2 * 2 * 2
    named = {(c.arm, c.width, c.learning_rate, c.schedule) for c in plan.cells}
    assert len(named) == len(plan.cells) and {c.inputs for c in plan.cells} == {"shifted"}


def test_names_say_what_is_not_as_in_the_article(config):
    article = Cell(arm="none", width=7, **ARTICLE)
    assert article.name == "none-w7" and tuple(article.values()) == SETTINGS
    odd = {
        "task": "odd",
        "inputs": "shifted",
        "optimizer": "sgd",
        "learning_rate": 1e-5,
        "schedule": "cosine",
        "batch_size": 50,
        "epochs": 60,
        "label_noise": 0.1,
        "tuned_for": "final_test_loss",
        "tuned_rank": 2,
    }
    assert odd.keys() == ARTICLE.keys()
    alone = {name: replace(article, **{name: value}).name for name, value in odd.items()}
    assert alone == {
        "task": "none-w7-odd",
        "inputs": "none-w7-shifted",
        "optimizer": "none-w7-sgd",
        "learning_rate": "none-w7-lr1e-05",
        "schedule": "none-w7-cosine",
        "batch_size": "none-w7-b50",
        "epochs": "none-w7-e60",
        "label_noise": "none-w7-noise0.1",
        "tuned_for": "none-w7-tuned-final-test-loss",
        "tuned_rank": "none-w7-rank2",
    }
    name = "none-w7-odd-shifted-sgd-lr1e-05-cosine-b50-e60-noise0.1-tuned-final-test-loss-rank2"
    assert replace(article, **odd).name == name


def test_other_defaults_change_no_name(config):
    """A name is a run's: it does not depend on what the study calls its default."""
    before = set(names(plan_of(config)))
    config["defaults"] |= {"width": 30, "epochs": 20}
    config["experiments"]["grid"] |= {"epochs": 10000}
    after = set(names(plan_of(config)))
    assert "none-w30-e20" in after and {n for n in before if n.count("-") == 1} & after


def test_names_of_cells_are_unique(config):
    """Over all members and values that look alike."""
    plan = plan_of(
        config,
        everything={
            "arm": members.names("arms"),
            "task": members.names("tasks"),
            "width": [1, 11],
            "optimizer": members.names("optimizers"),
            "learning_rate": [0.1, 0.10000001, 1, 1e-7],
            "inputs": ["plain", "shifted", "stretched"],
            "batch_size": ["full", 2],
            "schedule": ["constant", "cosine"],
            "label_noise": [0, 1e-9],
        },
    )
    assert len(set(names(plan))) == len(plan.cells) > 10_000


def test_cells_are_sorted_by_settings_numbers_by_size(config):
    plan = plan_of(
        config,
        b={"arm": "none", "width": [100, 9], "batch_size": ["full", 100, 50], "epochs": 20},
        a={"arm": "batch", "width": [30]},
    )
    assert [(c.arm, c.width, c.batch_size) for c in plan.cells] == [
        ("batch", 30, "full"),
        *(("none", width, size) for width in (9, 100) for size in (50, 100, "full")),
    ]


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_blocks_lie_on_multiples_of_their_size(config, size):
    config["training"]["block_size"] = size
    plan = plan_of(config)
    for scope in SCOPES:
        blocks = plan.blocks(scope)
        assert len(set(blocks)) == len(blocks)
        for block in blocks:
            seeds = plan.seeds(block, scope)
            assert block.start % size == 0 and 0 < len(seeds) <= size
            assert block.start <= seeds[0] <= seeds[-1] < block.start + size
    config["training"]["block_size"] = 7
    assert all(runs(plan, scope) == runs(plan_of(config), scope) for scope in SCOPES)


def test_more_seeds_leave_whole_blocks_as_they_were(config):
    before = plan_of(config)
    config["seeds"]["study"]["count"] = 43
    after = plan_of(config)
    assert set(before.blocks("")) < set(after.blocks(""))
    for block in before.blocks(""):
        assert after.seeds(block) == before.seeds(block)


def test_a_scope_asks_for_its_experiments_seeds_a_job_trains_all(config):
    plan = plan_of(
        config,
        default=["short"],
        short={"arm": "none", "seeds": {"first": 2003, "count": 2}},
        long={"arm": "none", "seeds": {"first": 2000, "count": 25}},
        other={"arm": "batch", "seeds": OWN},
    )
    block = plan.block("none-w300", 2000)
    assert plan.blocks("") == [block] and plan.seeds(block, "") == [2003, 2004]
    assert plan.seeds(block) == plan.seeds(block, "extended/") == list(range(2000, 2010))
    assert plan.experiments("") == ["short"]
    assert plan.experiments("extended/") == ["short", "long", "other"]
    assert {row["experiment"] for row in plan.rows("")} == {"short"}
    extended = {
        "none-w300/seeds_2000",
        "none-w300/seeds_2010",
        "none-w300/seeds_2020",
        "batch-w300/seeds_5000",
    }
    assert {block.place for block in plan.blocks("extended/")} == extended


def test_experiments_of_their_own_kind_have_no_cells(config):
    plan = plan_of(config)
    own = {"depth", "depth_training", "digits", "mnist1d", "curvature"}
    assert own & set(plan.experiments("")) == {"depth", "digits"}
    assert own < set(plan.experiments("extended/"))
    assert not own & {row["experiment"] for row in plan.rows("extended/")}
    only = plan_of(config, depth=config["experiments"]["depth"])
    assert not only.cells and only.blocks("") == [] and only.experiments("") == ["depth"]


def test_curvature_looks_at_saved_networks_of_its_width_and_seeds(config):
    """Seeds 2008-2011 in blocks of 10: of one block, of two; not of a cell that another experiment
    has, nor of tuning seeds, whose networks are not saved."""
    plan = plan_of(
        config,
        wide={"arm": ["none", "batch"], "width": [50, 100], "seeds": {"first": 2000, "count": 20}},
        few={"arm": "centred", "width": 100, "seeds": {"first": 2000, "count": 10}},
        fewer={"arm": "scaled", "width": 100, "seeds": {"first": 2000, "count": 8}},
        other={"arm": "dropout", "width": 100},
        rates={"arm": "none", "width": 100, "learning_rate": 0.1, "seeds": "tuning"},
        curvature={
            "experiments": ["wide", "few", "fewer", "rates"],
            "seeds": {"first": 2008, "count": 4},
            "width": 100,
            "points": 3,
        },
    )
    found = {name: [block.start for block in blocks] for name, blocks in plan.looked_at.items()}
    both = [2000, 2010]
    assert found == {"batch-w100": both, "centred-w100": [2000], "none-w100": both}
    del config["experiments"]["curvature"], config["default_experiments"][-1]
    assert plan_of(config).looked_at == {}


def test_the_cells_that_the_study_looks_at_have_a_partner_without_bn(default_config):
    """The same but for the arm, so that a ratio of condition numbers can be formed."""
    plan = plan_of(default_config)
    cells = [plan.cell(name) for name in plan.looked_at]
    assert {cell.width for cell in cells} == {100} and len(cells) > 100
    assert all(replace(cell, arm="none") in cells for cell in cells)
    seeds = range(2000, 2005)
    assert all(set(seeds) <= set(plan.seeds(b)) for (b,) in plan.looked_at.values())


@pytest.mark.parametrize(
    ("seeds", "names_them"),
    [
        (None, range(2000, 2030)),
        ("study", range(2000, 2030)),
        ("tuning", range(5)),
        (OWN, range(5000, 5004)),
        ({"first": 2**32 - 3, "count": 3}, range(2**32 - 3, 2**32)),
    ],
)
def test_seeds_of_an_experiment(config, seeds, names_them):
    plan = plan_of(config, new={"arm": "none"} | ({"seeds": seeds} if seeds else {}))
    assert runs(plan, "") == {("none-w300", seed) for seed in names_them}
    for block in plan.blocks(""):
        data = plan.dataset_seeds(block.start)
        assert set(plan.seeds(block)) <= set(data) and data[-1] < 2**32


def test_a_dataset_does_not_depend_on_who_asks(config):
    """Else a new experiment would change the file, and retrain what others made of it."""
    alone = plan_of(config, new={"arm": "none", "seeds": {"first": 2003, "count": 2}})
    assert alone.dataset_seeds(2000) == list(range(2000, 2010))
    assert alone.dataset_seeds("2000") == alone.dataset_seeds(2000)


def test_a_longer_budget_resumes_the_longest_shorter_one(config):
    plan = plan_of(config, new={"arm": "none", "seeds": OWN, "epochs": [10, 300, 20, 3000]})
    earlier = {
        epochs: plan.resumed(the_block(plan, f"none-w300-e{epochs}"))
        for epochs in (10, 20, 300, 3000)
    }
    assert earlier[10] is None
    assert [earlier[epochs].cell.epochs for epochs in (20, 300, 3000)] == [10, 20, 300]
    assert all(b.start == 5000 for b in earlier.values() if b)


def test_minibatches_are_resumed_as_well(config):
    plan = plan_of(config, new={"arm": "none", "seeds": OWN, "batch_size": 50, "steps": [40, 80]})
    assert plan.resumed(the_block(plan, "none-w300-b50-e4")).cell.epochs == 2


def test_a_cosine_schedule_is_not_resumed(config):
    """Its rates depend on where the budget ends."""
    new = {"arm": "none", "seeds": OWN, "epochs": [10, 20], "schedule": ["constant", "cosine"]}
    plan = plan_of(config, new=new)
    assert plan.resumed(the_block(plan, "none-w300-cosine-e20")) is None
    assert plan.resumed(the_block(plan, "none-w300-e20")).cell.name == "none-w300-e10"


def test_an_arm_that_looks_at_the_budget_is_not_resumed(config):
    """Its batch normalisation freezes at a share of the epochs."""
    plan = plan_of(config, a={"arm": ["batch", "batch-frozen"], "epochs": [10, 20], "seeds": OWN})
    assert plan.resumed(the_block(plan, "batch-w300-e20")).cell.epochs == 10
    assert plan.resumed(the_block(plan, "batch-frozen-w300-e20")) is None


def test_only_a_block_that_holds_the_seeds_is_resumed(config):
    plan = plan_of(
        config,
        short={"arm": "none", "epochs": 10, "seeds": {"first": 5002, "count": 3}},
        middle={"arm": "none", "epochs": 20, "seeds": {"first": 5000, "count": 4}},
        long={"arm": "none", "epochs": 30, "seeds": {"first": 5002, "count": 2}},
        other={"arm": "none", "epochs": 40, "seeds": {"first": 5010, "count": 2}},
    )
    assert plan.resumed(the_block(plan, "none-w300-e20")) is None
    assert plan.resumed(the_block(plan, "none-w300-e30")).cell.epochs == 20
    assert plan.resumed(the_block(plan, "none-w300-e40")) is None


def test_other_settings_are_not_resumed(config):
    plan = plan_of(
        config,
        a={"arm": "none", "epochs": 10, "seeds": OWN},
        b={"arm": "batch", "epochs": 20, "seeds": OWN},
        c={"arm": "none", "epochs": 20, "learning_rate": 0.1, "seeds": OWN},
    )
    assert all(plan.resumed(block) is None for block in plan.blocks(""))


def test_tuning_runs_have_no_snapshots(config):
    """Also where the study trains the same cell on its own seeds."""
    plan = plan_of(
        config,
        rates={"seeds": "tuning", "arm": "none", "learning_rate": [0.001, 0.1]},
        grid={"arm": "none"},
        own={"arm": "none", "learning_rate": 0.1, "seeds": OWN},
    )
    points = {block.place: plan.snapshots(block) for block in plan.blocks("")}
    kept = {f"none-w300/seeds_{start}" for start in (2000, 2010, 2020)}
    assert points.pop("none-w300/seeds_0") == points.pop("none-w300-lr0.1/seeds_0") == 0
    assert points == dict.fromkeys([*kept, "none-w300-lr0.1/seeds_5000"], 24)


def test_batch_norms_settings_reach_only_the_arms_that_use_it(config):
    plan = plan_of(config, new={"arm": members.names("arms"), "seeds": OWN})
    settings = {cell.arm: plan.job_settings(cell) for cell in plan.cells}
    using = {arm for arm in settings if "batch_norm" in settings[arm]}
    assert using == {
        arm
        for arm in members.names("arms")
        if "batch_norm" in members.declared("arms", arm).get("USES", ())
    }
    assert {"batch", "batch-matched"} <= using and "none" not in using
    assert settings["batch"]["batch_norm"] == {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}
    assert {each["device"] for each in settings.values()} == {"cpu"}


@pytest.mark.parametrize(
    ("path", "value", "concerns"),
    [
        (("batch_norm", "momentum"), 0.8, {"batch-w5-sgd", "batch-w5"}),
        (("arms", "dropout", "rate"), 0.2, {"dropout-w5-sgd", "dropout-w5"}),
        (("optimizers", "sgd", "momentum"), 0.8, {"batch-w5-sgd", "dropout-w5-sgd", "none-w5-sgd"}),
        (("training", "block_size"), 5, set()),
        (("snapshots", "points"), 5, set()),
        (("diagnostics", "features", "saturation"), 0.9, set()),
        (("analysis", "alpha"), 0.01, set()),
        (("defaults", "width"), 6, set()),
    ],
)
def test_a_setting_concerns_only_the_jobs_that_use_it(config, path, value, concerns):
    new = {"arm": ["none", "batch", "dropout"], "width": 5, "optimizer": ["adam", "sgd"]}
    before = plan_of(config, new=new)
    section = config
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    after = plan_of(config)
    changed = {
        old.name
        for old, now in zip(before.cells, after.cells, strict=True)
        if before.job_settings(old) != after.job_settings(now)
    }
    assert changed == concerns


def test_experiments_vary_one_setting_at_a_time(config):
    """Those of the extended study, each against the article's: what differs is what they name."""
    plan = plan_of(config)
    differing: dict[str, set[str]] = {}
    for row in plan.rows("extended/"):
        differs = {name for name, value in ARTICLE.items() if row[name] != value}
        differing.setdefault(row["experiment"], set()).update(differs)
    assert differing == {
        "original": set(),
        "grid": set(),
        "attribution": set(),
        "rates": {"learning_rate", "schedule"},
        "tuned": {"learning_rate", "schedule", "tuned_for"},
        "runner_up": {"learning_rate", "schedule", "tuned_for", "tuned_rank"},
        "minibatch_rates": {"learning_rate", "schedule", "batch_size", "epochs"},
        "minibatch_tuned": {"learning_rate", "schedule", "tuned_for", "batch_size", "epochs"},
        "minibatch_runner_up": {
            "learning_rate",
            "schedule",
            "tuned_for",
            "tuned_rank",
            "batch_size",
            "epochs",
        },
        "wide": set(),
        "dropout": set(),
        "horizon": {"epochs"},
        "learning_rates": {"learning_rate"},
        "label_noise": {"label_noise"},
        "minibatches": {"batch_size", "epochs"},
        "narrow_rates": {"learning_rate", "schedule"},
        "narrow_tuned": {"learning_rate", "schedule", "tuned_for"},
        "strict_tuned": {"learning_rate", "schedule", "tuned_for"},
        "budget_rates": {"learning_rate", "schedule", "epochs"},
        "budget_tuned": {"learning_rate", "schedule", "epochs", "tuned_for"},
        "size_rates": {"learning_rate", "schedule", "batch_size", "epochs"},
        "size_tuned": {"learning_rate", "schedule", "batch_size", "epochs", "tuned_for"},
        "frozen_rates": {"learning_rate", "schedule", "batch_size", "epochs"},
        "frozen_tuned": {"learning_rate", "schedule", "batch_size", "epochs", "tuned_for"},
        "layer_norm_rates": {"learning_rate", "schedule", "batch_size", "epochs"},
        "layer_norm_tuned": {"learning_rate", "schedule", "batch_size", "epochs", "tuned_for"},
        "task_rates": {"learning_rate", "schedule", "task", "inputs", "epochs"},
        "task_tuned": {"learning_rate", "schedule", "task", "inputs", "epochs", "tuned_for"},
        "part_rates": {"learning_rate", "schedule"},
        "part_tuned": {"learning_rate", "schedule", "tuned_for"},
        "plain_rates": {"learning_rate", "schedule"},
        "plain_tuned": {"learning_rate", "schedule", "tuned_for"},
        "other_norm_rates": {"learning_rate", "schedule", "epochs"},
        "other_norm_tuned": {"learning_rate", "schedule", "epochs", "tuned_for"},
        "sgd_rates": {"learning_rate", "schedule", "optimizer"},
        "sgd_tuned": {"learning_rate", "schedule", "optimizer", "tuned_for"},
    }


def test_a_block_is_found_by_what_files_are_called(config):
    plan = plan_of(config)
    for block in random.Random(0).sample(plan.blocks("extended/"), 10):
        name, _, start = block.place.partition("/seeds_")
        assert plan.block(name, start) == block


def test_cost_is_of_what_is_left_to_train(config):
    config["training"]["block_size"] = 5
    seeds = {"first": 5000, "count": 5}
    plan = plan_of(config, new={"arm": "none", "epochs": [1000, 4000], "seeds": seeds})
    short, long = (plan.cost(the_block(plan, f"none-w300-e{e}")) for e in (1000, 4000))
    assert long == pytest.approx(3 * short)


def test_200_000_runs_are_planned_quickly(config):
    config["seeds"] = {
        "study": {"first": 10_000, "count": 1000},
        "tuning": {"first": 0, "count": 5},
    }
    rates = [round(0.001 * n, 3) for n in range(1, 51)]
    started = time.process_time()
    plan = plan_of(
        config, new={"arm": ["none", "batch"], "width": [10, 30], "learning_rate": rates}
    )
    blocks = plan.blocks("")
    assert sum(len(plan.seeds(block)) for block in blocks) == 200_000
    for block in blocks:
        plan.job_settings(block.cell), plan.resumed(block), plan.snapshots(block), plan.cost(block)
    assert time.process_time() - started < PLANNING
