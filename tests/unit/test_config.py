"""config.yaml: what is refused, by name, and with the remedy."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from snakemake.utils import update_config

from bnstudy.config.checks import MEMBER_SETTINGS, MOVED, ConfigError, key_path
from bnstudy.config.models import Study, schema

ROOT = Path(__file__).parents[2]
RANGE = r"first \+ count must not exceed"


def changed(config: dict, path: str, value) -> dict:
    """`config` with the value at a dotted path replaced."""
    *parents, last = path.split(".")
    section = config
    for parent in parents:
        section = section[parent]
    section[last] = value
    return config


def refusal(config: dict) -> str:
    """What is said of a configuration that must be refused."""
    with pytest.raises(ConfigError) as refused:
        Study.from_config(config)
    return str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("epochs", 10, "epochs: unknown key"),
        ("training.blocksize", 10, "training.blocksize: unknown key; did you mean block_size?"),
        ("seeds.study.count", 0, "seeds.study.count is 0: .*greater than 0"),
        ("seeds.study.first", -1, "seeds.study.first is -1"),
        ("seeds.study.first", 2**32 - 1, f"seeds.study: {RANGE}"),
        (
            "seeds.tuning",
            {"first": 2029, "count": 1},
            "seeds: tuning and study both hold seed 2029",
        ),
        ("seeds.tuning", {"first": 0, "count": 2001}, "tuning and study both hold seed 2000"),
        ("seeds.pilot", {"first": 0, "count": 1}, "seeds.pilot: unknown key; known here: study"),
        ("defaults.epochs", 10.5, "defaults.epochs is 10.5: .*integer"),
        ("defaults.epochs", "ten", "defaults.epochs is 'ten'"),
        ("defaults.epochs", True, "defaults.epochs is True"),
        ("defaults.steps", 50, "defaults: name one budget, epochs or steps"),
        ("defaults.learning_rate", "1e-3", "defaults.learning_rate is '1e-3'.*write 0.001"),
        ("defaults.learning_rate", float("nan"), "defaults.learning_rate is nan: .*finite"),
        ("defaults.learning_rate", [0.1], r"defaults.learning_rate is \[0.1\]: .*number"),
        ("defaults.arm", "none", "defaults.arm: unknown key"),
        ("defaults.task", "artcle", "defaults.task is 'artcle': unknown; did you mean article?"),
        ("defaults.optimizer", "adan", "defaults.optimizer is 'adan': .*did you mean adam?"),
        ("defaults.optimizer", "x", "known here: .*src/bnstudy/experiment/optimizers/ makes one"),
        ("defaults.inputs", "shift", "defaults.inputs is 'shift': .*'shifted'"),
        ("defaults.schedule", "linear", "defaults.schedule is 'linear': .*'cosine'"),
        ("defaults.batch_size", "half", "^defaults.batch_size is 'half': neither full nor a whole"),
        ("defaults.batch_size", 1, "^defaults.batch_size is 1: .*at least 2$"),
        ("defaults.batch_size", True, "^defaults.batch_size is True: .*at least 2$"),
        ("defaults.batch_size", 2000, "defaults.batch_size is 2000, more than the .*train_size"),
        (
            "defaults.label_noise",
            -0.1,
            "defaults.label_noise is -0.1: .*greater than or equal to 0",
        ),
        ("experiments.grid.widths", [10], "experiments.grid.widths: .*did you mean width?"),
        ("experiments.grid.width", -3, r"experiments.grid.width\[0\] is -3: .*greater than 0"),
        ("experiments.grid.width", [10, -3], r"experiments.grid.width\[1\] is -3"),
        ("experiments.grid.width", ["10"], r"grid.width\[0\] is '10': .*text; write 10"),
        ("experiments.grid.width", [10, 10], r"experiments.grid.width .*10 is duplicated"),
        ("experiments.grid.width", [], r"experiments.grid.width is \[\]: .*at least 1"),
        ("experiments.grid.arm", [], r"experiments.grid.arm is \[\]: .*at least 1"),
        ("experiments.grid.arm", ["none", "bach"], r"experiments.grid.arm\[1\] is 'bach': .*batch"),
        ("experiments.grid.arm", "bach", r"experiments.grid.arm\[0\] is 'bach'"),
        ("experiments.grid.arm", ["none", "none"], "experiments.grid.arm .*none is duplicated"),
        ("experiments.grid.arm", 5, r"experiments.grid.arm\[0\] is 5: .*string"),
        ("experiments.grid.task", "odds", r"experiments.grid.task\[0\] is 'odds': .*odd"),
        ("experiments.grid.optimizer", ["adam", "sgdm"], r"optimizer\[1\] is 'sgdm': .*sgd"),
        ("experiments.grid.inputs", ["plain", "x"], r"experiments.grid.inputs\[1\] is 'x'"),
        ("experiments.grid.schedule", "step", r"experiments.grid.schedule\[0\] is 'step'"),
        ("experiments.grid.learning_rate", [0.1, 0.1], "learning_rate .*0.1 is duplicated"),
        ("experiments.grid.learning_rate", "1e-2", r"learning_rate\[0\] is '1e-2'.*write 0.01"),
        ("experiments.grid.batch_size", [50, 1], r"experiments.grid.batch_size\[1\] is 1: neither"),
        ("experiments.grid.batch_size", [50, 2000], "experiments.grid.batch_size is 2000, more"),
        ("experiments.minibatches.steps", 40, "experiments.minibatches: name one budget"),
        (
            "experiments.grid.seeds",
            "stduy",
            "^experiments.grid.seeds is 'stduy': neither study nor",
        ),
        ("experiments.grid.seeds", 5, "^experiments.grid.seeds is 5: neither study nor tuning"),
        ("experiments.grid.seeds", {"first": 5}, "^experiments.grid.seeds.count: missing"),
        ("experiments.wide.seeds.count", 0, "^experiments.wide.seeds.count is 0"),
        (
            "experiments.wide.seeds.last",
            9,
            "experiments.wide.seeds.last: .*known here: first, count",
        ),
        ("experiments.wide.seeds.first", 2**32 - 5, f"^experiments.wide.seeds: {RANGE}"),
        ("experiments.depth.seeds", "all", "^experiments.depth.seeds is 'all': neither study"),
        (
            "experiments.depth.depth",
            [10, 1],
            r"experiments.depth.depth\[1\] is 1: .*greater than or equal to 2",
        ),
        ("experiments.depth.scales", [1.0, 0], r"depth.scales\[1\] is 0: .*greater than 0"),
        ("experiments.depth.scales", [1.0, 1.0], "depth.scales .*1.0 is duplicated"),
        ("experiments.depth.arm", "none", "experiments.depth.arm: unknown key"),
        ("experiments.depth_training.depth", [3], r"training.depth is \[3\]: .*integer"),
        ("experiments.depth_training.learning_rates", [], r"learning_rates is \[\]: .*at least 1"),
        ("experiments.digits.learning_rate", 0.1, "digits.learning_rate: .*mean learning_rates?"),
        ("experiments.digits.learning_rates", [0.1], r"learning_rates is \[0.1\]: .*at least 2"),
        ("experiments.digits.learning_rates", ["1e-2", 0.1], r"rates\[0\] is '1e-2'.*write 0.01"),
        ("experiments.digits.threshold", 2.4, "digits.threshold is 2.4: .*less than 2.3"),
        ("experiments.digits.seeds", "tuning", "digits.seeds and seeds.tuning both hold seed 0;"),
        (
            "experiments.digits.seeds",
            {"first": 4, "count": 3},
            "digits.seeds and seeds.tuning both hold seed 4;",
        ),
        ("experiments.mnist1d.seeds", "tuning", "mnist1d.seeds and seeds.tuning both hold seed 0;"),
        (
            "experiments.curvature.experiments",
            ["grid", "gird"],
            r"curvature.experiments\[1\] is 'gird', no experiment with saved networks; .*grid\?",
        ),
        ("experiments.curvature.experiments", ["depth"], r"experiments\[0\] is 'depth', no exp"),
        ("experiments.curvature.experiments", ["grid", "grid"], "grid is duplicated"),
        ("experiments.curvature.width", 301, "curvature.width is 301: .*less than or equal to 300"),
        ("experiments.curvature.points", 1, "curvature.points is 1: .*greater than or equal to 2"),
        ("experiments.new", {}, "experiments.new.arm: missing"),
        ("experiments.New", {"arm": "none"}, "experiments.New is 'New': .*pattern"),
        ("experiments.a/b", {"arm": "none"}, "experiments.a/b is 'a/b': .*pattern"),
        ("default_experiments", [], r"default_experiments is \[\]: .*at least 1"),
        ("default_experiments", ["grid", "gird"], r"default_experiments\[1\] is 'gird'.*grid\?"),
        ("default_experiments", ["grid", "grid"], "default_experiments .*grid is duplicated"),
        ("default_experiments", "grid", "default_experiments is 'grid': .*list"),
        ("experiments", {}, r"default_experiments\[0\] is 'original', no experiment"),
        ("arms.dropout.rate", 1.0, "^arms.dropout.rate is 1.0: .*less than 1"),
        ("arms.dropout.rate", "1e-1", "^arms.dropout.rate is '1e-1': .*write 0.1"),
        ("arms.dropout.rat", 0.1, "^arms.dropout.rat: unknown key; did you mean rate?"),
        ("arms.none", {"rate": 0.1}, "^arms.none.rate: unknown key; known here: nothing"),
        ("arms.dropuot", {}, "^arms.dropuot: unknown; did you mean dropout?"),
        ("arms.dropout", 0.1, "^arms.dropout is 0.1: .*dictionary"),
        ("arms", 5, "^arms is 5: .*dictionary"),
        ("tasks", {"cubic": {}}, "^tasks.cubic: unknown; known here: article"),
        ("optimizers.sgd.momentum", -1.0, "^optimizers.sgd.momentum is -1.0"),
        ("diagnostics.features.saturation", 2.0, "^diagnostics.features.saturation is 2.0"),
        ("analysis.thresholds", ["low"], r"analysis.thresholds\[0\] is 'low': .*number"),
        ("analysis.thresholds", [1.0], "primary.threshold 0.2258 is not one of"),
        ("analysis.margins.losses", 0.5, "margins.losses is 0.5: .*greater than 1"),
        ("dataset.test_size", 0, "dataset.test_size is 0: .*greater than 0"),
        ("dataset.ranges.r", [1.0, -1.0], "dataset.ranges.r .*lower end 1.0 must be below"),
        ("dataset.ranges.r", [1.0, 1.0], "dataset.ranges.r .*lower end 1.0 must be below"),
        ("analysis.thresholds", [0.2258, 0.22580001], "more than one value is 0.2258 to six"),
        ("mlflow.tracking_uri", None, "mlflow.tracking_uri is None: .*string"),
    ],
)
def test_bad_input_is_refused_by_name(config, path, value, says):
    said = refusal(changed(config, path, value))
    assert re.search(says, said, re.MULTILINE), said
    assert len(said.splitlines()) == 1, "one problem is told once"


@pytest.mark.parametrize(("steps", "instead"), [(1, 20), (41, 40), (59, 40)])
def test_steps_that_are_no_whole_epochs_are_refused_with_some_that_are(config, steps, instead):
    """Batches of 50 of 1000 points: 20 steps per epoch."""
    minibatches = config["experiments"]["minibatches"]
    del minibatches["epochs"]
    minibatches["steps"] = steps
    said = refusal(config)
    assert f"experiments.minibatches.steps is {steps}, not a whole number of epochs" in said
    assert said.endswith(f"write {instead}")
    minibatches["steps"] = instead
    Study.from_config(config)


def test_a_missing_key_is_named(config):
    del config["defaults"]["learning_rate"]
    assert refusal(config).startswith("defaults.learning_rate: missing")


def test_a_missing_budget_is_named(config):
    del config["defaults"]["epochs"]
    assert refusal(config) == "defaults: name one budget, epochs or steps"


def test_every_problem_is_reported_at_once(config):
    config["training"]["block_size"] = 0
    config["experiments"]["grid"]["typo"] = 1
    lines = refusal(config).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "experiments.grid.typo",
        "training.block_size is 0",
    ]


@pytest.mark.parametrize("key", MOVED)
def test_a_key_of_the_first_edition_is_refused_with_its_new_place(config, key):
    said = refusal(changed(config, key, {}))
    assert said.startswith(f"{key}: a key of the first edition; its settings are now in ")


def test_every_section_of_the_first_edition_that_is_gone_is_known_as_such(default_config):
    first_edition = {
        "preview",
        "grid",
        "ablation",
        "original",
        "dataset",
        "training",
        "batch_norm",
        "dropout",
        "measures",
        "extended",
        "analysis",
        "probes",
        "mlflow",
    }
    assert first_edition - default_config.keys() <= MOVED.keys()


@pytest.mark.parametrize("place", MOVED.values())
def test_the_new_places_exist(default_config, place):
    for path in re.findall(
        r"(?:experiments|seeds|snapshots|diagnostics|arms|defaults)\.[.\w]+", place
    ):
        section = default_config
        for key in path.split("."):
            section = section[key]


def test_the_schema_file_is_the_classes_schema():
    stored = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    assert stored == schema(), "run `make schema`"


def open_sections(part, path=()):
    """Where a schema allows keys that it does not name."""
    if isinstance(part, list):
        for index, item in enumerate(part):
            yield from open_sections(item, (*path, index))
    elif isinstance(part, dict):
        if part.get("type") == "object" and part.get("additionalProperties") is not False:
            yield key_path(path)
        for key, item in part.items():
            yield from open_sections(item, (*path, key))


def test_the_schema_accepts_the_config_and_is_closed_at_every_level(default_config):
    """But for experiments, named as one likes, and members' settings: a new file must not change
    the schema. Study.from_config refuses what is wrong there (above)."""
    jsonschema.validate(default_config, schema())
    opened = set(open_sections(schema()))
    members = {f"properties.{kind}" for kind in MEMBER_SETTINGS}
    assert opened == {
        "$defs.Experiments",
        *members,
        *(f"{member}.additionalProperties" for member in members),
    }
    one, absent = schema()["$defs"]["Experiments"]["additionalProperties"]["anyOf"]
    assert one["$ref"].endswith("Experiment") and absent == {"type": "null"}


def test_the_settings_survive_json(default_config):
    """As rules and records hand them on."""
    study = Study.from_config(default_config)
    assert Study.from_config(study.model_dump(mode="json")) == study
    assert Study(**study.model_dump()) == study


@pytest.mark.parametrize(
    "path",
    [
        *("workflow/quick.yaml", "tests/config.yaml", "tests/faults/small.yaml"),
        "benchmarks/scale.yaml",
    ],
)
def test_the_fragments_in_the_repository_are_valid(config, path):
    update_config(config, yaml.safe_load((ROOT / path).read_text()))
    Study.from_config(config)


def test_one_experiment_alone_is_a_study(config):
    """As Snakemake merges a --configfile: dictionaries are joined, lists replaced."""
    fragment = {"experiments": {"new": {"arm": "none"}}, "default_experiments": ["new"]}
    update_config(config, fragment)
    assert Study.from_config(config).default_experiments == ["new"]


def test_the_reference_is_what_defaults_give(config):
    """With the budget in epochs, and a batch of all points called full."""
    del config["defaults"]["epochs"]
    config["defaults"] |= {"steps": 40, "batch_size": 50, "schedule": "cosine"}
    assert Study.from_config(config).reference == {
        "task": "article",
        "inputs": "plain",
        "optimizer": "adam",
        "learning_rate": 0.001,
        "schedule": "cosine",
        "batch_size": 50,
        "epochs": 2,
        "label_noise": 0.0,
        "tuned_for": "nothing",
        "tuned_rank": 1,
    }
    config["defaults"]["batch_size"] = 1000
    assert Study.from_config(config).reference | {"schedule": "constant"} == {
        "task": "article",
        "inputs": "plain",
        "optimizer": "adam",
        "learning_rate": 0.001,
        "schedule": "constant",
        "batch_size": "full",
        "epochs": 40,
        "label_noise": 0.0,
        "tuned_for": "nothing",
        "tuned_rank": 1,
    }


def test_members_settings_have_the_members_defaults(config):
    del config["arms"], config["optimizers"], config["diagnostics"]
    study = Study.from_config(config)
    assert study.arms["dropout"] == {"rate": 0.1} and study.arms["none"] == {}
    assert study.optimizers["sgd"] == {"momentum": 0.9}
    assert study.diagnostics["features"] == {"saturation": 0.95}


def test_an_experiment_that_is_null_is_absent(config):
    config["experiments"] |= {"wide": None, "depth": None}
    config["default_experiments"] = ["grid"]
    study = Study.from_config(config)
    assert not {"wide", "depth"} & set(study.experiments.names)
    assert "grid" in study.experiments.names


def test_an_experiment_that_is_null_cannot_run_or_tune(config):
    config["experiments"] |= {"grid": None, "rates": None}
    with pytest.raises(ConfigError, match=r"default_experiments\[\d\] is 'grid', no experiment"):
        Study.from_config(config)
    config["default_experiments"] = ["original", "tuned"]
    with pytest.raises(ConfigError, match="tuned_by is 'rates', no experiment"):
        Study.from_config(config)
