"""Whatever stands in a file of settings: it is a study, or it is refused by name, at once."""

import copy
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from bnstudy.analysis.outcomes import threshold_columns
from bnstudy.config.checks import ConfigError, check_yaml, retyped
from bnstudy.config.models import Study
from bnstudy.config.plan import SCOPES, Plan

ROOT = Path(__file__).parents[2]
CASES, DRY_RUNS = 100, 3
EXTENDED_CASES, EXTENDED_DRY_RUNS = 2000, 40
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


def paths(section: dict, above: tuple = ()) -> list[tuple]:
    """Every key of nested settings, as a path."""
    found = []
    for key, value in section.items():
        found.append((*above, key))
        if isinstance(value, dict):
            found += paths(value, (*above, key))
    return found


NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 1, 2, 2**31, 2**32, 2**63, 10**30, 10**400]),
    st.floats(),
    st.sampled_from([0.0, 1e-320, 1e300, 0.5, 1.0, 300.0, math.inf, math.nan]),
)
ODD_TEXTS = """
1e-3 yes null [1 ../x sqlite:///../x sqlite:////etc/x.db http://h ftp://x .. 2022-07-01 Ж a/b cuda
none batch dropout odd shifted sgd cosine full grid original study tuning
""".split()  # noqa: SIM905
TEXTS = st.text(max_size=20) | st.sampled_from([*ODD_TEXTS, "a: b", "\u202e", "x" * 300])
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none(), st.dates())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.one_of(st.sampled_from(["first", "count", "width"]), SCALARS), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@st.composite
def near_values(draw, value):
    """A value of the right type as often as not, so that ranges and combinations are tried too."""
    if isinstance(value, bool):
        return draw(st.booleans() | VALUES)
    if isinstance(value, dict):  # a whole section, as it is or otherwise
        return draw(st.builds(copy.deepcopy, st.just(value)) | VALUES)
    if isinstance(value, int):
        return draw(st.integers(-2, 10 * value + 2) | NUMBERS)
    if isinstance(value, float):
        return draw(st.floats(0, 10 * abs(value) + 1) | NUMBERS)
    if isinstance(value, list):
        item = near_values(draw(st.sampled_from(value)))
        return draw(st.lists(item, max_size=6) | item | VALUES)
    return draw(st.just(value) | TEXTS)


# Settings that an experiment may name: values that are right as often as not.
SETTINGS = {
    "arm": ["none", "batch", "layer-norm", "dropuot"],
    "task": ["article", "odd", "x"],
    "inputs": ["plain", "stretched", 1],
    "width": [5, 10, 0, 5.0],
    "optimizer": ["adam", "sgd", None],
    "learning_rate": [0.001, 0.1, 1, -0.1],
    "schedule": ["constant", "cosine", "step"],
    "batch_size": ["full", 50, 300, 1000, 1001, 1],
    "epochs": [20, 500, 0],
    "steps": [40, 1000, 7],
    "label_noise": [0, 0.1, "0.1"],
    "seeds": ["study", "tuning", {"first": 5, "count": 3}, {"first": 5}, "all"],
}


@st.composite
def experiments(draw) -> dict:
    """A new experiment: one or a few values of some settings."""
    names = draw(st.sets(st.sampled_from(sorted(SETTINGS.keys() - {"arm"})), max_size=4))
    found = {}
    for name in ("arm", *sorted(names)):
        value = st.sampled_from(SETTINGS[name][: draw(st.sampled_from([2, 2, 2, None]))])
        found[name] = draw(value | st.lists(value, max_size=3, unique_by=str))
    return found


@st.composite
def files(draw) -> str:
    """The text of a file of settings with one to three slips in it."""
    config: dict = {}
    for path in draw(st.lists(st.sampled_from(paths(DEFAULT)), min_size=1, max_size=3)):
        section, default = config, DEFAULT
        for key in path[:-1]:
            default = default[key]
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                break
        else:
            key = path[-1]
            if draw(st.integers(0, 9)) == 0:  # a key nobody knows
                key = draw(
                    st.text(max_size=10) | st.sampled_from([key.upper(), f"{key}s", 1, None])
                )
            section[key] = draw(near_values(default[path[-1]]) | VALUES)
    if draw(st.booleans()) and isinstance(config.setdefault("experiments", {}), dict):
        config["experiments"]["new"] = draw(experiments())
        if draw(st.booleans()):
            config["default_experiments"] = ["new"]
    text = yaml.safe_dump(config, allow_unicode=draw(st.booleans()))
    match draw(st.integers(0, 19)):
        case 0:  # the same again: keys that stand there twice
            return text + text
        case 1:  # cut off
            return text[: draw(st.integers(0, len(text)))]
        case 2:  # something in between
            place = draw(st.integers(0, len(text)))
            odd = [
                "\t",
                ":",
                "- ",
                "{",
                "&a ",
                "*a",
                "!!python/object:os.system ",
                "%",
                "\0",
                "<<: ",
            ]
            return text[:place] + draw(st.sampled_from(odd)) + text[place:]
    return text


def read(path: Path) -> Study:
    """What the workflow does with a file of settings."""
    check_yaml(path)
    config = copy.deepcopy(DEFAULT)
    update_config(config, load_configfile(path))
    return Study.from_config(config)


def check_meaningful(study: Study) -> None:
    """It can be planned: finite, and with no two things of one name."""
    columns = [threshold_columns(t) for t in study.analysis.thresholds]
    assert len(set(columns)) == len(columns)
    json.dumps(study.model_dump(), allow_nan=False)
    plan = Plan(study)
    names = [cell.name for cell in plan.cells]
    assert len(set(names)) == len(names)
    for cell in plan.cells:
        json.dumps(plan.job_settings(cell), allow_nan=False)
    for scope in SCOPES:
        rows = plan.rows(scope)
        if sum(row["seeds"] for row in rows) < 1000 * study.training.block_size:
            blocks = plan.blocks(scope)
            assert len(set(blocks)) == len(blocks) and bool(blocks) == bool(rows)
            assert all(plan.seeds(block, scope) for block in blocks[:10])


def try_many(folder: Path, record_property, cases: int) -> None:
    tried = {"inputs tried": 0, "accepted": 0, "refused": 0, "tracebacks": 0}

    @settings(
        max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(files())
    def attempt(text: str) -> None:
        path = folder / "settings.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        tried["inputs tried"] += 1
        started = time.monotonic()
        try:
            check_meaningful(read(path))
            tried["accepted"] += 1
        except ConfigError as error:
            tried["refused"] += 1
            lines = str(error).splitlines()
            assert 0 < len(lines) <= 21 and max(map(len, lines)) < 2000
            named = (str(path), *DEFAULT, "config", "and ")
            for line in lines:
                assert line.startswith(named) or ": unknown key" in line, line
        except WorkflowError as error:  # Snakemake's own: no keys at the top
            tried["refused"] += 1
            assert "keys at top level" in str(error)
        except Exception:
            tried["tracebacks"] += 1
            raise
        assert time.monotonic() - started < 5

    try:
        attempt()
    finally:
        for name, count in tried.items():
            record_property(name, count)
    # of many 6 % are accepted: neither is idle
    assert tried["accepted"] > cases / 100 and tried["refused"] > cases / 4


def test_settings_are_a_study_or_refused_by_name(tmp_path, record_property):
    try_many(tmp_path, record_property, CASES)


@pytest.mark.extended
def test_many_settings_are_a_study_or_refused_by_name(tmp_path, record_property):
    try_many(tmp_path, record_property, EXTENDED_CASES)


def dry_run(folder: Path, *arguments: str) -> tuple[float, subprocess.CompletedProcess]:
    """Its processor seconds (of wall time, other tests on this machine would take a part)."""
    before = getrusage(RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--quiet"]
    result = subprocess.run(
        [*command, "--snakefile", str(ROOT / "Snakefile"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, result


NO_YAML = "Config file is not valid JSON or YAML"


def check_dry_runs(folder: Path, record_property, count: int) -> None:
    """The same through the real command, which agrees with `read`."""
    texts: list[str] = []

    @settings(max_examples=3 * count, database=None, suppress_health_check=list(HealthCheck))
    @given(files())
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    path, refused, slowest = folder / "settings.yaml", 0, 0.0
    for text in texts[-count:]:
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        seconds, result = dry_run(folder, "--configfile", str(path))
        try:
            study = read(path)
        except (ConfigError, WorkflowError) as error:
            refused, slowest = refused + 1, max(slowest, seconds)
            assert result.returncode != 0 and seconds < 5
            # What is no YAML, Snakemake refuses before it reads any of our code; `bnstudy run`
            # names file and line (tests/unit/test_run.py).
            words = NO_YAML if "not YAML" in str(error) else str(error).splitlines()[0][:60]
            assert words in result.stdout, text
        else:
            assert result.returncode == 0, (text, result.stdout[-2000:])
            assert Plan(study).experiments("")
        assert "Traceback" not in result.stdout, text
        assert not (folder / "results").exists()
    record_property("inputs tried", count)
    record_property("refused", refused)
    record_property("accepted", count - refused)
    record_property("longest refusal, processor s", round(slowest, 1))


def test_the_command_refuses_what_the_settings_refuse(tmp_path, record_property):
    check_dry_runs(tmp_path, record_property, DRY_RUNS)


@pytest.mark.extended
def test_the_command_refuses_what_the_settings_refuse_often(tmp_path, record_property):
    check_dry_runs(tmp_path, record_property, EXTENDED_DRY_RUNS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeds: {study: 5}\nseeds: {study: 6}\n", "line 2: seeds is duplicated"),
        ("seeds:\n  study: [5]\n  study: [6]\n", "line 3: study is duplicated"),
        ("experiments: [{a: 1, a: 2}]\n", "line 1: a is duplicated"),
        ("seeds: {study: [5, 6\n", "not YAML .*line"),
        ("seeds: &a {study: *a}\n", "nested too deeply"),
        ("seeds: &a [*a]\n", "nested too deeply"),
        ("a: " + "[" * 5000, "nested too deeply|not YAML"),
        ('? ""\n: 1\n', "'': unknown key; known here: preview"),
        ('"\\x1E": 1\n', r"'\\x1e': unknown key"),
        ('seeds: {"a\\nb": 1}\n', r"seeds.'a\\nb': unknown key"),
        ("seeds: {1: 1}\n", "seeds: 1 is no text, so no key; known here: study"),
        ("experiments: {1: {arm: none}}\n", "experiments: 1 is no text, so no key"),
        ('arms: {"\\r": {}}\n', r"arms.'\\r': unknown; known here: batch"),
        ("arms: {1: {}}\n", "arms: 1 is no text, so no key"),
        ("seeds: !!python/object/apply:os.getcwd []\n", "not YAML .*tag.*line 1"),
    ],
)
def test_what_yaml_readers_pass_over_is_refused(tmp_path, text, says):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"seeds: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        check_yaml(path)


def test_aliases_that_unfold_to_gigabytes_are_refused_shortly(tmp_path):
    path = tmp_path / "settings.yaml"
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match="a0: unknown key") as refused:
        read(path)
    assert len(str(refused.value)) < 5000
    path.write_text("\n".join([*lines, "seeds: *a8"]) + "\n")
    with pytest.raises(ConfigError, match="seeds is"):
        read(path)


def test_texts_of_the_command_line_that_are_no_yaml_stay_texts():
    assert retyped({"a": "[1", "b": "{x: [2]}"}) == {"a": "[1", "b": {"x": [2]}}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (("analysis", "thresholds"), [22.58, 0.2258, 0.22580001], "more than one value is 0.2258"),
        (("analysis", "primary", "strict_threshold"), 0.5, "not one of analysis.thresholds"),
        (("experiments", "tuned", "tuned_by"), "grid", "both hold seed 2000"),
        (("training", "block_size"), 10**12, "less than or equal to 1000"),
        (("seeds", "study"), {"first": 1000, "count": 1_000_000}, "training jobs, more than"),
        (("experiments", "grid", "width"), list(range(1, 70_000)), "training jobs, more than"),
        (("defaults", "epochs"), 100_000_000, "rows, more than"),
        (("experiments", "horizon", "epochs"), [10, 100_000_000], "rows, more than"),
        (("experiments", "minibatches", "batch_size"), 2000, "more than the dataset.train_size"),
        (("dataset", "ranges", "r"), [-1e200, 1e200], "-1000000"),
        (("experiments", "depth", "width"), 100_000, "do not fit the memory"),
        (("experiments", "digits", "channels"), [100_000, 100_000], "do not fit the memory"),
        (("mlflow", "tracking_uri"), "sqlite:///../x.db", "leaves the study's directory"),
        (("mlflow", "tracking_uri"), "sqlite:////tmp/x.db", "set MLFLOW_TRACKING_URI"),
        (("mlflow", "tracking_uri"), "mlflow.db", "neither a server"),
        (("mlflow", "tracking_uri"), "file:///etc", "neither a server"),
        (("mlflow", "tracking_uri"), "sqlite:///sub/my runs.db", None),
        (("mlflow", "tracking_uri"), "https://user:word@host:5000/mlflow", None),
        (("mlflow", "tracking_uri"), "postgresql+psycopg2://u:p@host/db", None),
        (("mlflow", "experiment"), "..", "a letter or digit"),
        (("mlflow", "experiment"), "two\nlines", "on one line"),
        (("mlflow", "experiment"), "Größe/α β", None),
    ],
)
def test_settings_that_cannot_work_are_refused(key, value, says):
    config = copy.deepcopy(DEFAULT)
    section = config
    for part in key[:-1]:
        section = section[part]
    section[key[-1]] = value
    if says is None:
        Study.from_config(config)
    else:
        with pytest.raises(ConfigError, match=says):
            Study.from_config(config)
