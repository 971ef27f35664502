"""Whatever dies in the middle, the documented next command gives what an undisturbed run gives."""

import random

import pytest

from bnstudy.files import read_csv
from tests.faults.victim import HERE, TARGETS, Victim

# Of each CSV and JSON file also its digest.
FILES_OF = {
    "dataset": 1,
    "train": 5,
    "choose": 4,
    "curves": 2,
    "diagnostic": 1,
    "runs": 2,
    "explorer": 1,
    "track": 2,
    "figure": 3,
}
MOMENTS = 48  # of the extended run, in chains of three; some come when a study is done already
# The rest is done after a job's death.
WAYS = ["both", "terminate", "interrupt", "snakemake", "job"]


def suffer(victim: Victim, undisturbed, faults: list, chain: list[tuple[str, int, float]]) -> None:
    for way, jobs, seconds in chain:
        if not victim.disturb(way, jobs, seconds):
            break
        faults.append(f"{way}, {seconds:.1f} s after {jobs} jobs had started")
        if way in ("snakemake", "both"):
            assert "--unlock" in victim.snakemake(*TARGETS).stderr, "what to do about the lock"
            victim.unlock()
    victim.go_on()
    victim.check(undisturbed)


@pytest.mark.extended
def test_a_study_survives_each_way_to_be_disturbed(tmp_path, undisturbed, faults):
    moments = random.Random(0)
    chain = [(way, moments.randint(1, 2), moments.uniform(0, 1)) for way in WAYS]
    suffer(Victim(tmp_path), undisturbed, faults, chain)
    assert len(faults) >= 4


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(MOMENTS // 3))
def test_a_study_survives_random_moments(tmp_path, undisturbed, faults, seed):
    moments = random.Random(1000 + seed)
    chain = [(moments.choice(WAYS), moments.randint(1, 4), moments.uniform(0, 3)) for _ in range(3)]
    suffer(Victim(tmp_path), undisturbed, faults, chain)


@pytest.mark.extended
@pytest.mark.parametrize(
    ("rule", "code", "whom"),
    [
        ("dataset", "experiment/data", "job"),
        ("train", "experiment/block", "job"),
        ("train", "experiment/block", "both"),
        ("runs", "analysis/collect", "job"),
        ("diagnostic", "analysis/diagnostics/features", "job"),
        ("significance", "analysis/statistics", "job"),
        ("figure", "report/figures/survival", "job"),
        ("track", "tracking/importer", "job"),
        ("track", "tracking/importer", "both"),
    ],
)
def test_an_edit_whose_jobs_died_is_not_forgotten(
    tmp_path, finished_whole, faults, rule, code, whom
):
    """With the default target: all was whole before, so the rest is there, made by the old code.

    The edit computes the same; where it is of code that trains, the runs get other keys.
    """
    victim = finished_whole.copy(tmp_path / "study")
    assert not victim.planned()
    module = victim.folder / f"src/bnstudy/{code}.py"
    module.write_text(module.read_text() + "\nEDITED = True\n")
    assert victim.start((), **fault(rule, 1, "before", whom)).wait(timeout=600) != 0
    faults.append(f"{rule}: {whom} dies before its first file after an edit")
    if whom == "both":
        victim.unlock()
    assert rule in {name.removesuffix("_runs") for name in victim.planned()}
    assert victim.snakemake().returncode == 0 and not victim.planned()
    victim.check(finished_whole.results(), same_keys=not code.startswith("experiment"))


def fault(rule: str, number: int, when: str, whom: str) -> dict[str, str]:
    """The environment in which a rule's job, or Snakemake too, dies at one of its files."""
    return {"FAULT": f"{rule}:{number}:{when}:{whom}", "PYTHONPATH": str(HERE / "inject")}


@pytest.mark.extended
@pytest.mark.parametrize("whom", ["job", "both"])
@pytest.mark.parametrize("rule", list(FILES_OF))
def test_a_study_survives_death_between_any_two_files(tmp_path, undisturbed, faults, rule, whom):
    victim = Victim(tmp_path)
    for number in range(1, FILES_OF[rule] + 1):
        for when in ("before", "after"):
            assert victim.start(**fault(rule, number, when, whom)).wait(timeout=600) != 0
            faults.append(f"{rule}: {whom} {when} file {number}")
            if whom == "both":
                victim.unlock()
    victim.go_on()
    victim.check(undisturbed)


OTHER_RATES = {"learning_rate": [0.001, 0.003], "schedule": "constant"}


@pytest.fixture(scope="module")
def other_rates(tmp_path_factory):
    """The results of a study that tried other rates from the beginning."""
    study = Victim(tmp_path_factory.mktemp("other_rates"))
    study.settings["experiments"]["rates"] = OTHER_RATES
    study.go_on()
    return study.results()


@pytest.mark.extended
@pytest.mark.parametrize("whom", ["job", "both"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_of_a_choice_survives_that_is_chosen_no_longer(
    tmp_path, finished, other_rates, faults, when, whom
):
    """Other rates are tried, and the job or all dies as the first choice among them is written."""
    victim = finished.copy(tmp_path / "study")
    victim.settings["experiments"]["rates"] = OTHER_RATES
    assert victim.start(**fault("choose", FILES_OF["choose"], when, whom)).wait(timeout=600) != 0
    faults.append(f"{whom} dies {when} a choice is written")
    if whom == "both":
        victim.unlock()
    victim.go_on()
    victim.check(other_rates)
    runs = read_csv(victim.folder / "results/tables/runs.csv")
    tuned = runs[runs.tuned_for == "final_test_loss"]
    assert len(tuned) == 2 * 4 and set(tuned.learning_rate) <= set(OTHER_RATES["learning_rate"])
