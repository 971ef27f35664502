"""What the tests share."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# The same examples each time: a failure is a change of the code, not of the luck.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


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
