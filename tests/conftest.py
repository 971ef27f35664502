"""What the tests share."""

import copy
import os
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# Whatever server this machine's user tracks to, the tests track to none but their own.
os.environ.pop("MLFLOW_TRACKING_URI", None)

# The same examples each time: a failure is a change of the code, not of the luck.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _environment_names_no_server():
    """`mlflow.set_tracking_uri` writes to the environment, which later tests' commands inherit."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def _config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture(scope="session")
def default_config(_config):
    """config.yaml as nested dicts; not to be changed."""
    return _config


@pytest.fixture
def config(_config):
    """A copy of config.yaml to change."""
    return copy.deepcopy(_config)


def pytest_terminal_summary(terminalreporter):
    """What the fault injection and the fuzzing did: totals of what their tests have recorded."""
    injected, lost = Counter(), 0
    slowest = 0.0
    counts = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in report.user_properties:
                if name == "faults injected":
                    injected[report.location[2].partition("[")[0]] += len(value)
                    lost += len(value) * (outcome == "failed")
                elif name in ("inputs tried", "refused", "accepted", "tracebacks"):
                    counts[name] += value
                elif name == "longest refusal, processor s":
                    slowest = max(slowest, value)
    total = injected.total()
    if total or counts:
        terminalreporter.section("what was tried")
        terminalreporter.line(f"faults: {total} injected, {total - lost} recovered, {lost} lost")
        for test, count in injected.items():
            terminalreporter.line(f"  {count} in {test}")
        terminalreporter.line(", ".join(f"{name}: {count}" for name, count in counts.items()))
    if slowest:
        terminalreporter.line(f"longest refusal by the command: {slowest} processor seconds")
