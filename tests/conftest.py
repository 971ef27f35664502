"""What the tests share."""

import copy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


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
