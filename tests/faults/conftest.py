"""What the fault injection shares."""

import pytest

from tests.faults.victim import Victim


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The results of a study that nothing happened to."""
    study = Victim(tmp_path_factory.mktemp("undisturbed"))
    study.go_on()
    return study.results()


@pytest.fixture(scope="session")
def undisturbed_whole(tmp_path_factory):
    """The same, of the default target."""
    study = Victim(tmp_path_factory.mktemp("whole"))
    assert study.snakemake().returncode == 0
    return study.results()


@pytest.fixture
def faults(record_property):
    """The faults of a test, as they happen; recovered when it has passed."""
    faults = []
    record_property("faults injected", faults)
    return faults
