"""What the change of a setting makes anew, rule by rule: what reference/reruns.csv says, reviewed.

`python -m tests.workflow.test_reruns` writes the table anew, of the changes that are in it.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.clone import ROOT, Clone

TABLE = ROOT / "tests" / "reference" / "reruns.csv"
CHANGES = pd.read_csv(TABLE, keep_default_na=False)
# Beside the tests' default experiments, so that every rule of the default study has a job.
TUNED = ["rates", "tuned", "minibatch_rates", "minibatch_tuned"]
# Of an experiment they are those of `defaults` and `seeds`; no task has any; a device needs a GPU.
NOT_TRIED = ("experiments", "default_experiments", "tasks", "training.device")


def finished(folder: Path) -> Clone:
    """A tiny study that is done."""
    clone = Clone(folder)
    clone.settings["default_experiments"] += TUNED
    result = clone.snakemake()
    assert result.returncode == 0, result.stderr[-3000:]
    return clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("settings"))


def reruns(clone: Clone, key: str, value: str) -> str:
    """The rules that have jobs once the setting `key` is `value`, YAML text."""
    before = yaml.safe_dump(clone.settings)
    *path, name = key.split(".")
    place: dict[str, Any] = clone.settings
    for part in path:
        place = place.setdefault(part, {})
    place[name] = yaml.safe_load(value)
    try:
        return " ".join(sorted(clone.planned()))
    finally:
        clone.settings = yaml.safe_load(before)


@pytest.mark.extended
@pytest.mark.parametrize("change", list(CHANGES.itertuples(index=False)), ids=lambda c: c.key)
def test_a_setting_makes_anew_what_depends_on_it(clone, change):
    assert reruns(clone, change.key, change.value) == change.rules


def keys(settings: dict[str, Any], front: str = "") -> set[str]:
    """The settings by their full names."""
    found = set()
    for name, value in settings.items():
        inner = isinstance(value, dict) and value
        found |= keys(value, f"{front}{name}.") if inner else {front + name}
    return found


def test_every_setting_is_in_the_table(default_config):
    tried = set(CHANGES.key)
    untried = {
        key
        for key in keys(default_config)
        if not key.startswith(NOT_TRIED) and not any(f"{key}.".startswith(f"{t}.") for t in tried)
    }
    assert not untried


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        done = finished(Path(folder))
        rules = [reruns(done, change.key, change.value) for change in CHANGES.itertuples()]
    CHANGES.assign(rules=rules).to_csv(TABLE, index=False)
