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

from bnstudy.measures import threshold_columns
from bnstudy.study import ConfigError, Study, check_yaml, retyped

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
    st.integers(), st.sampled_from([0, -1, 1, 2, 2**31, 2**32, 2**63, 10**30, 10**400]),
    st.floats(), st.sampled_from([0.0, 1e-320, 1e300, 0.5, 1.0, 300.0, math.inf, math.nan]),
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["1e-3", "yes", "null", "none", "batch", "[1", "a: b", "../x", "sqlite:///../x",
                     "sqlite:////etc/x.db", "http://h", "ftp://x", "..", "2022-07-01", "Ж",
                     "\u202e", "a/b", "x" * 300, "cuda"]),
)  # fmt: skip
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none(), st.dates())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.one_of(st.sampled_from(["first", "count", "widths"]), SCALARS), inner,
                      max_size=3),
    max_leaves=8,
)  # fmt: skip


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
        return draw(st.lists(near_values(value[0]) if value else SCALARS, max_size=6) | VALUES)
    return draw(TEXTS)


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
    names = [variant.name for variant in study.variants()]
    assert len(set(names)) == len(names)
    columns = [threshold_columns(t) for t in study.analysis.thresholds]
    assert len(set(columns)) == len(columns)
    json.dumps(study.model_dump(), allow_nan=False)
    for cell in study.cells():
        assert study.run_settings(cell.arm)
    jobs = math.ceil(study.grid.seeds.count / study.training.block_size) * len(study.grid.widths)
    if jobs < 1000:
        blocks = study.blocks()
        assert blocks and len(set(blocks)) == len(blocks)
        assert all(study.block_seeds(block) for block in blocks[:10])


def try_many(folder: Path, record_property, cases: int) -> None:
    tried = {"inputs tried": 0, "accepted": 0, "refused": 0, "tracebacks": 0}

    @settings(max_examples=cases, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
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
    assert tried["accepted"] > cases / 50 and tried["refused"] > cases / 4


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
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, result


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
            assert str(error).splitlines()[0][:60] in result.stdout, text
        else:
            assert result.returncode == 0, (text, result.stdout[-2000:])
            assert study.blocks()
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
        ("grid: {widths: [5]}\ngrid: {widths: [6]}\n", "line 2: grid stands there twice"),
        ("grid:\n  widths: [5]\n  widths: [6]\n", "line 3: widths stands there twice"),
        ("grid: {widths: [5, 6\n", "no YAML .*line"),
        ("grid: &a {widths: *a}\n", "line 1: an alias stands within"),
        ("a: " + "[" * 5000, "nested too deeply|no YAML"),
        ('? ""\n: 1\n', "'': unknown key; known here: preview"),
        ('"\\x1E": 1\n', r"'\\x1e': unknown key"),
        ('grid: {"a\\nb": 1}\n', r"grid.'a\\nb': unknown key"),
        ("grid: {1: 1}\n", "grid: 1 is no text, so no key; known here: widths"),
        ("grid: !!python/object/apply:os.getcwd []\n", "no YAML .*tag.*line 1"),
    ],
)
def test_what_yaml_readers_pass_over_is_refused(tmp_path, text, says):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"grid: \xff\xfe")
    with pytest.raises(ConfigError, match="no UTF-8"):
        check_yaml(path)


def test_aliases_that_unfold_to_gigabytes_are_refused_shortly(tmp_path):
    path = tmp_path / "settings.yaml"
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match="a0: unknown key") as refused:
        read(path)
    assert len(str(refused.value)) < 5000
    path.write_text("\n".join([*lines, "grid: *a8"]) + "\n")
    with pytest.raises(ConfigError, match="grid is"):
        read(path)


def test_texts_of_the_command_line_that_are_no_yaml_stay_texts():
    assert retyped({"a": "[1", "b": "{x: [2]}"}) == {"a": "[1", "b": {"x": [2]}}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (("analysis", "thresholds"), [22.58, 0.2258, 0.22580001], "more than one value is 0.2258"),
        (("analysis", "sensitivity_margins"), [1.5], "the equivalence_margin"),
        (("training", "block_size"), 10**12, None),
        (("grid", "seeds"), {"first": 0, "count": 1_000_000}, "training jobs, more than"),
        (("training", "epochs"), 100_000_000, "rows, more than"),
        (("extended", "minibatches", "sizes"), [2000], "more than the dataset.train_size"),
        (("extended", "minibatches", "sizes"), [1], "greater than or equal to 2"),
        (("dataset", "ranges", "r"), [-1e200, 1e200], "-1000000"),
        (("probes", "depth", "width"), 100_000, "do not fit the memory"),
        (("probes", "digits", "channels"), [100_000, 100_000], "do not fit the memory"),
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
