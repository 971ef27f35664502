"""The code of a job, by content: what changes its digest, and what does not."""

import textwrap
from pathlib import Path

import pytest

from bnstudy.config import code, members

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"

# A package in small. `used` is imported at the top, `late` within a function, `deep` by `used`.
MODULES = {
    "__init__": '"""The package."""\n',
    "used": """
        from bnstudy.experiment import deep

        TABLE = {"a": 1}

        def f(x):
            "What f does."
            return deep.LIMIT + x  # as far as it goes
        """,
    "late": "VALUE = 1\n",
    "apart": "VALUE = 1\n",
    "experiment/__init__": "",
    "experiment/deep": "LIMIT = 1\nLABEL = 'a label of no arm'\n",
    "experiment/arms/__init__": '"""One file per arm."""\n',
    "experiment/arms/none": """
        'An arm.'
        from bnstudy import late
        LABEL = "no BN"
        COLOUR = "#000000"
        SETTINGS = {}

        def build():
            'What it builds.'
            return late.VALUE
        """,
    "experiment/arms/batch": "LABEL = 'BN'\nSETTINGS = {}\n",
}
SCRIPT = """
from pathlib import Path
from bnstudy.used import f
f(Path(snakemake.output[0]))
"""


class Package:
    """The small package in a folder, and the digest of a job that uses the arm `none`."""

    def __init__(self, folder: Path):
        self.folder = folder / "bnstudy"
        for name, text in MODULES.items():
            file = self.file(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        self.script = folder / "job.py"
        self.script.write_text(SCRIPT)

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.py"

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.file(name).read_text()
        assert text.count(old) == 1
        self.file(name).write_text(text.replace(old, new))

    def digest(self, looks: bool = False) -> str:
        """Read anew: one process of Snakemake reads every file once."""
        for cached in (code._tree, code._meaning, code._imported):
            cached.cache_clear()
        return code.digest(self.script, [("arms", "none")], looks)

    def closure(self) -> set[str]:
        files = code.closure(self.script, members.path("arms", "none"))
        return {file.relative_to(self.folder).with_suffix("").as_posix() for file in files}


@pytest.fixture
def package(tmp_path, monkeypatch):
    package = Package(tmp_path)
    monkeypatch.setattr(members, "PACKAGE", package.folder)
    monkeypatch.setattr(code, "PACKAGE", package.folder)
    return package


def test_the_closure_goes_along_imports_and_members(package):
    """Whatever a module imports, also within a function, with the packages around it."""
    assert package.closure() == {
        "__init__",
        "used",
        "experiment/__init__",
        "experiment/deep",
        "experiment/arms/__init__",
        "experiment/arms/none",
        "late",
    }


@pytest.mark.parametrize(
    "statement",
    [
        "import bnstudy.apart",
        "import os, bnstudy.apart as x",
        "from bnstudy import apart",
        "from bnstudy.apart import VALUE as x",
        "def g():\n    from bnstudy.apart import VALUE",
        "if True:\n    try:\n        import bnstudy.apart\n    except ImportError:\n        pass",
        "try:\n    pass\nexcept ImportError:\n    import bnstudy.apart",
        "try:\n    pass\nfinally:\n    import bnstudy.apart",
        "if True:\n    pass\nelse:\n    import bnstudy.apart",
        "match 1:\n    case 2:\n        import bnstudy.apart",
    ],
)
def test_every_form_of_import_is_followed(package, statement):
    package.file("late").write_text(f"VALUE = 1\n{statement}\n")
    assert "apart" in package.closure()


@pytest.mark.parametrize("statement", ["import bnstudyx.apart", "x = 'import bnstudy.apart'"])
def test_what_only_looks_like_an_import_is_not_followed(package, statement):
    package.file("late").write_text(f"VALUE = 1\n{statement}\n")
    assert "apart" not in package.closure()


def test_modules_that_import_each_other_come_to_an_end(package):
    package.file("late").write_text("import bnstudy.used\nVALUE = 1\n")
    package.replace(
        "used", "from bnstudy.experiment", "import bnstudy.late\nfrom bnstudy.experiment"
    )
    assert "late" in package.closure()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("used", "  # as far as it goes", ""),
        ("used", "What f does.", "What f does, in other words."),
        ("used", '    "What f does."\n', ""),
        ("used", '{"a": 1}', '{\n    "a": 1,\n}'),
        ("used", "def f", "\n\n# A new comment.\ndef f"),
        ("__init__", "The package.", "What it is about."),
        ("experiment/arms/none", "'An arm.'", "'The plain network.'"),
        ("experiment/arms/none", "no BN", "without BN"),
        ("experiment/arms/none", "#000000", "#111111"),
        ("apart", "VALUE = 1", "VALUE = 2"),
        ("experiment/arms/batch", "SETTINGS = {}", "SETTINGS = {'rate': {'default': 0.1}}"),
    ],
)
def test_what_changes_no_result_changes_no_digest(package, name, old, new):
    before = package.digest()
    package.replace(name, old, new)
    assert package.digest() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("used", '"a": 1', '"a": 2'),
        ("used", "deep.LIMIT + x", "x + deep.LIMIT"),
        ("used", "return", "x: int = 1\n    return"),
        ("experiment/deep", "LIMIT = 1", "LIMIT = 1.0"),
        ("experiment/deep", "LABEL = 'a label of no arm'", "LABEL = 'another'"),
        ("experiment/arms/none", "SETTINGS = {}", "SETTINGS = {'rate': {'default': 0.1}}"),
        ("experiment/arms/none", "return late.VALUE", "return late.VALUE + 1"),
        ("late", "VALUE = 1", "VALUE = 2"),
        ("__init__", '"""\n', '"""\n__version__ = "2"\n'),
    ],
)
def test_what_could_change_a_result_changes_the_digest(package, name, old, new):
    before = package.digest()
    package.replace(name, old, new)
    assert package.digest() != before


def test_for_figures_looks_count_and_words_do_not(package):
    drawn = package.digest(looks=True)
    package.replace("experiment/arms/none", "What it builds.", "What it makes.")
    assert package.digest(looks=True) == drawn != package.digest(looks=False)
    package.replace("experiment/arms/none", "#000000", "#111111")
    assert package.digest(looks=True) != drawn


def test_a_new_file_changes_no_digest(package):
    before = package.digest()
    package.file("experiment/arms/new").write_text("LABEL = 'new'\n")
    package.file("new").write_text("VALUE = 1\n")
    assert package.digest() == before


def test_a_moved_package_has_the_same_digest(package, tmp_path, monkeypatch):
    """Paths do not enter: a clone elsewhere finds the runs of another."""
    before = package.digest()
    elsewhere = Package(tmp_path / "elsewhere")
    for module in (members, code):
        monkeypatch.setattr(module, "PACKAGE", elsewhere.folder)
    assert elsewhere.digest() == before


def test_a_renamed_module_changes_the_digest(package):
    before = package.digest()
    package.file("late").rename(package.file("later"))
    package.replace("experiment/arms/none", "import late", "import later as late")
    assert package.digest() != before


def real(script: str, *used: tuple[str, str]) -> set[str]:
    """The modules that a rule's script uses."""
    files = code.closure(SCRIPTS / script, *(members.path(*member) for member in used))
    return {file.relative_to(members.PACKAGE).with_suffix("").as_posix() for file in files}


def test_training_uses_its_members_alone_and_nothing_above():
    used = real("train.py", ("arms", "dropout"), ("tasks", "odd"), ("optimizers", "sgd"))
    assert {"experiment/block", "experiment/training", "config/members", "files"} <= used
    folders = {"experiment/arms", "experiment/tasks", "experiment/optimizers"}
    found = {name for name in used for folder in folders if name.startswith(f"{folder}/")}
    named = {"experiment/arms/dropout", "experiment/tasks/odd", "experiment/optimizers/sgd"}
    assert {name for name in found if not name.endswith("__init__")} == named
    above = ("analysis", "report", "tracking", "commands", "config/models", "config/plan")
    assert not [name for name in used if name.startswith(above)]


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_every_script_has_a_closure(script):
    assert "start" in real(script)
