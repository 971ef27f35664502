"""Settings: what is refused, and the grid they describe."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from bnstudy.study import Block, Cell, ConfigError, Study, schema

ROOT = Path(__file__).parents[2]


def changed(config: dict, path: str, value) -> dict:
    """`config` with the value at a dotted path replaced."""
    *parents, last = path.split(".")
    section = config
    for parent in parents:
        section = section[parent]
    section[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("grid.width", [10], "grid.width: unknown key; did you mean widths?"),
        ("epochs", 10, "epochs: unknown key"),
        ("training.learning_rate", "1e-3", "learning_rate is '1e-3'.*write 0.001"),
        ("training.epochs", 10.5, "training.epochs is 10.5: .*integer"),
        ("training.epochs", "ten", "training.epochs is 'ten'"),
        ("training.epochs", True, "training.epochs is True"),
        ("grid.widths", [10, -3], r"grid.widths\[1\] is -3: .*greater than 0"),
        ("grid.widths", [10, 10], "grid.widths .*10 stands there more than once"),
        ("grid.widths", [], "grid.widths is .*at least 1"),
        ("grid.widths", 10, "grid.widths is 10: .*list"),
        ("grid.seeds.count", 0, "grid.seeds.count is 0: .*greater than 0"),
        ("grid.seeds.first", -1, "grid.seeds.first is -1"),
        ("grid.seeds.first", 2**32 - 1, "first \\+ count must not exceed"),
        ("grid.arms", ["none", "bach"], r"grid.arms\[1\] is 'bach': .*'none', 'batch', "),
        ("analysis.thresholds", ["low"], r"analysis.thresholds\[0\] is 'low': .*number"),
        ("analysis.thresholds", [1.0], "primary.threshold 0.2258 is not one of"),
        ("analysis.equivalence_margin", 0.5, "equivalence_margin is 0.5: .*greater than 1"),
        ("dataset.test_size", 0, "dataset.test_size is 0: .*greater than 0"),
        ("dataset.ranges.r", [1.0, -1.0], "dataset.ranges.r .*lower end 1.0 must be below"),
        ("training.learning_rate", float("nan"), "learning_rate is nan: .*finite"),
        ("probes.depth.depth", 1, "probes.depth.depth is 1: .*greater than or equal to 2"),
        ("probes.depth.initializations", ["he"], r"initializations\[0\] is 'he': .*'unscaled'"),
        ("probes.digits.learning_rate", "2e-3", "learning_rate is '2e-3'.*write 0.002"),
        ("mlflow.tracking_uri", None, "mlflow.tracking_uri is None: .*string"),
    ],
)
def test_bad_input_is_refused_by_name(config, path, value, says):
    with pytest.raises(ConfigError, match=says):
        Study.from_config(changed(config, path, value))


def test_a_missing_key_is_named(config):
    del config["training"]["epochs"]
    with pytest.raises(ConfigError, match=r"training\.epochs: missing"):
        Study.from_config(config)


def test_every_problem_is_reported_at_once(config):
    config["training"]["epochs"] = 0
    config["grid"]["typo"] = 1
    with pytest.raises(ConfigError, match=r"(?s)grid.typo.*training.epochs"):
        Study.from_config(config)


def test_the_schema_file_is_the_classes_schema():
    stored = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    assert stored == schema(), "run `make schema`"


def test_the_schema_accepts_the_config_and_is_closed_at_every_level(default_config):
    jsonschema.validate(default_config, schema())
    objects = [s for s in [schema(), *schema()["$defs"].values()] if s.get("type") == "object"]
    assert len(objects) > 8
    assert all(section["additionalProperties"] is False for section in objects)


def test_the_default_grid(default_config):
    study = Study.from_config(default_config)
    runs = sum(len(study.seeds(cell)) for cell in study.cells())
    assert runs == 4 * 2 * 30 + 2 * 2 * 30 + 2  # the grid, the ablation, the original
    assert study.seeds(Cell("batch", 300)) == [0, *range(1000, 1030)]
    assert study.block_seeds(Block("none", 300, 0)) == [0]
    assert sum(len(study.block_seeds(block)) for block in study.blocks()) == runs


def test_an_original_that_the_grid_holds_is_there_once(config):
    config["grid"]["seeds"] = {"first": 0, "count": 3}
    study = Study.from_config(config)
    assert study.seeds(Cell("none", 300)) == [0, 1, 2]
    assert len(study.cells()) == len(set(study.cells())) == 4 * 2 + 2 * 2


def test_more_seeds_leave_whole_blocks_as_they_were(config):
    before = Study.from_config(config)
    config["grid"]["seeds"] = {"first": 1000, "count": 43}
    after = Study.from_config(config)
    assert set(before.blocks()) < set(after.blocks())
    for block in before.blocks():
        assert after.block_seeds(block) == before.block_seeds(block)


def test_settings_of_bn_concern_only_runs_with_bn(config):
    before = Study.from_config(config)
    config["batch_norm"]["momentum"] = 0.8
    after = Study.from_config(config)
    assert before.run_settings("none") == after.run_settings("none")
    assert before.run_settings("batch") != after.run_settings("batch")


def test_the_ablation_runs_where_the_grid_has_its_widths(config):
    config["grid"]["widths"] = [30, 100]
    cells = Study.from_config(config).cells()
    assert {cell for cell in cells if "-" in cell.arm} == {
        Cell("batch-matched", 100), Cell("none-standardized", 100)
    }  # fmt: skip


def test_the_extended_study_varies_one_setting_at_a_time(config):
    study = Study.from_config(config)
    base, changed = study.run_settings("batch"), {}
    for variant in study.variants():
        settings = study.run_settings(variant.arms[-1], variant)
        before, after = (s | s["training"] for s in (base, settings))
        changed[variant.name] = {key for key in after if after[key] != before.get(key)}
    assert changed["width"] == set()
    assert changed["epochs_60000"] == {"training", "epochs"}
    assert changed["learning_rate_0.003"] == {"training", "learning_rate"}
    assert changed["label_noise_0.5"] == {"label_noise"}
    assert changed["batch_size_50"] == {"training", "batch_size", "epochs"}
    assert changed["dropout"] == {"dropout"}


def test_the_extended_study_leaves_out_what_the_grid_has(config):
    """Two runs of the same settings would be one run under two names."""
    config["grid"]["arms"].append("dropout")
    config["training"] |= {"learning_rate": 0.003, "epochs": 60000}
    config["extended"]["widths"] = [300, 1000]
    config["extended"]["horizon"]["widths"] = [10, 50]
    variants = {variant.name: variant.widths for variant in Study.from_config(config).variants()}
    assert variants["width"] == [1000] and variants["epochs_60000"] == [50]
    assert "learning_rate_0.003" not in variants and "dropout" not in variants
    assert variants["learning_rate_0.01"] == [100, 300]


def test_datasets_are_made_for_the_extended_seeds_too(config):
    config["extended"]["seeds"] = {"first": 2000, "count": 3}
    assert Study.from_config(config).dataset_seeds(2000) == [2000, 2001, 2002]


def test_the_fragments_in_the_repository_are_valid(config):
    from snakemake.utils import update_config

    for path in ("workflow/quick.yaml", "tests/config.yaml"):
        fragment = yaml.safe_load((ROOT / path).read_text())
        merged = yaml.safe_load((ROOT / "config.yaml").read_text())
        update_config(merged, fragment)
        Study.from_config(merged)
