"""Mutation tests: whether a module's own unit tests notice small changes of its code.

`python -m tests.mutate` (`make mutate`) takes the modules in a seeded order and tries a seeded
sample of mutants of each until ten minutes are over; `python -m tests.mutate decisions verify`
tries all mutants of these. mutmut makes the mutants, all but those of decorated functions, in a
copy of the repository; docs/mutation.md has the survivors that change nothing.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
# Modules and folders of members whose own tests have other names than they have.
TESTS = {
    "checks": "config faults/test_settings",
    "choice": "choice digits depth_training",
    "comparisons": "comparisons tasks",
    "collect": "outcomes diagnostics tracking",
    "hypotheses": "comparisons decisions tasks",
    "models": "config tuning",
    "outcomes": "outcomes depth digits",
    "networks": "diagnostics curvature",
    "plan": "plan tuning",
    "batches": "training",
    "schedules": "training outcomes",
    "snapshots": "block",
    "train_loss": "curvature",
    "training": "training block",
    "trends": "comparisons",
    "wording": "wording comparisons",
    "cell": "plan config",
    "arms": "members_experiment layers training",
    "claims": "comparisons tasks",
    "optimizers": "members_experiment",
    "tasks": "tasks members_experiment data",
    "evaluators": "members_experiment training",
    "layers": "layers members_experiment training",
}
NOTICED = ("killed", "timeout")
PARTS = ["analysis", "config", "experiment"]
# What the tests read beside the package.
COPIED = [
    *("tests", "workflow", "published", "paper", "profiles", "benchmarks", "docs"),
    *("config.yaml", "Snakefile", "reanalysis.smk", "environment.yml", "README.md", "CITATION.cff"),
]
# A mutant is one in its own process alone: the tests that run the command on bad settings cannot
# try it, and fail where mutmut runs them.
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{module}"]
also_copy = {copied}
pytest_add_cli_args = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist"]
pytest_add_cli_args_test_selection = [
    "-m", "not slow and not extended", "-k", "not test_the_command_refuses", {tests}
]
use_git_change_detection = false
track_dependencies = false
"""


def modules() -> dict[str, Path]:
    """The modules that are tried, by name; members with their folder's, as `arms/batch`."""
    places = [ROOT / "src/bnstudy/files.py", ROOT / "src/bnstudy/commands/verify.py"]
    members: list[Path] = []
    for part in PARTS:
        places += sorted((ROOT / "src/bnstudy" / part).glob("[a-z]*.py"))
        members += sorted((ROOT / "src/bnstudy" / part).glob("*/[a-z]*.py"))
    named = {place.stem: place for place in places}
    named |= {f"{place.parent.name}/{place.stem}": place for place in members}
    return {name: place.relative_to(ROOT) for name, place in named.items()}


def own_tests(name: str) -> list[str]:
    """The files of the unit tests of a module."""
    folder = name.partition("/")[0]
    tests = TESTS.get(name, TESTS.get(folder, folder)).split()
    return [f"tests/{t}.py" if "/" in t else f"tests/unit/test_{t}.py" for t in tests]


def tried(name: str, count: int | None, choose: random.Random) -> tuple[int, list[str]]:
    """Try `count` mutants of a module, or all: how many were tried, and those that survived, each
    as a diff."""
    module, quoted = modules()[name], ", ".join(f'"{test}"' for test in own_tests(name))
    with TemporaryDirectory() as place:
        folder = Path(place)
        for part in ("src", *COPIED):
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, folder / part)
        settings = SETTINGS.format(module=module.as_posix(), copied=COPIED, tests=quoted)
        (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + settings)
        mutmut(folder, "run", "none")  # makes the mutants, and looks which test runs which function
        made = (folder / "mutants" / module).read_text()
        functions = re.findall(r"def (xǁ?\w*?__mutmut_\d+)\(", made)
        front = ".".join(module.with_suffix("").parts[1:])
        mutants = [f"{front}.{function}" for function in dict.fromkeys(functions)]
        if count is not None:
            mutants = choose.sample(mutants, min(count, len(mutants)))
        mutmut(folder, "run", *mutants)
        said = mutmut(folder, "results", "--all", "true")
        ends = dict(re.findall(r"^\s*(\S+): (.+)$", said, re.MULTILINE))
        found = [mutant for mutant in mutants if ends.get(mutant) not in NOTICED]
        return len(mutants), [f"{ends.get(m)}: {mutmut(folder, 'show', m)}" for m in found]


def mutmut(folder: Path, *arguments: str) -> str:
    """What mutmut says."""
    command = [Path(sys.executable).with_name("mutmut"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def main() -> None:
    """Print the survivors of each module, and the share of mutants that were noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[[], *modules()], help="all their mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--minutes", type=float, default=10, help="no module is begun after them")
    parser.add_argument("--each", type=int, default=15, help="mutants of a module in the sample")
    given = parser.parse_args()
    choose, end = random.Random(given.seed), time.monotonic() + 60 * given.minutes
    names = given.modules or choose.sample(sorted(modules()), len(modules()))
    total = survived = 0
    for name in names:
        if not given.modules and time.monotonic() > end:
            break
        count, survivors = tried(name, None if given.modules else given.each, choose)
        total, survived = total + count, survived + len(survivors)
        print(
            f"{name}: {count - len(survivors)} of {count} noticed", *survivors, sep="\n", flush=True
        )
    print(f"{total - survived} of {total} mutants were noticed")


if __name__ == "__main__":
    main()
