"""What the fault injection shares."""

import pytest

from tests.faults.victim import Victim


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A study that nothing happened to. Tests break copies of it."""
    study = Victim(tmp_path_factory.mktemp("finished"))
    study.go_on()
    return study


@pytest.fixture(scope="session")
def undisturbed(finished):
    """Its results."""
    return finished.results()


@pytest.fixture(scope="session")
def finished_whole(tmp_path_factory):
    """The same, of the default target."""
    study = Victim(tmp_path_factory.mktemp("whole"))
    assert study.snakemake().returncode == 0
    return study


@pytest.fixture
def faults(record_property):
    """The faults of a test, as they happen; recovered when it has passed."""
    faults = []
    record_property("faults injected", faults)
    return faults
