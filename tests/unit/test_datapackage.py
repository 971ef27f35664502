"""Every published table and each of its columns is described, rightly."""

import copy
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from frictionless import Package
from test_figures import made_tables

from bnstudy.analysis import curvature, prediction
from bnstudy.analysis.tasks import ASSOCIATIONS
from bnstudy.config.models import Study
from bnstudy.files import read_json
from bnstudy.report.datapackage import PARQUET, meaning, package
from tests.clone import ROOT

PUBLISHED = ROOT / "published"
ARROW = {"integer": pa.int64(), "number": pa.float64(), "string": pa.string()}


@pytest.fixture(scope="module")
def described():
    return read_json(PUBLISHED / "datapackage.json")


def csv_only(described):
    """Frictionless reads Parquet only with a library that is not among the pins."""
    resources = [each for each in described["resources"] if each["format"] == "csv"]
    return copy.deepcopy(described) | {"resources": resources}


def test_the_description_is_up_to_date(described):
    assert described == package(ROOT), "run `make readme`"


def test_it_describes_every_published_table(described):
    tables = [*PUBLISHED.glob("tables/*"), *PUBLISHED.glob("extended/tables/*")]
    paths = [resource["path"] for resource in described["resources"]]
    assert sorted(paths) == sorted(str(table.relative_to(PUBLISHED)) for table in tables)
    assert described["licenses"][0]["name"] == "CC-BY-4.0"


def test_it_is_a_data_package(described):
    assert list(Package.metadata_validate(described)) == []


def test_every_csv_file_is_as_described(described):
    report = Package(csv_only(described), basepath=str(PUBLISHED)).validate()
    assert report.stats["tasks"] > 10 and report.valid, report.flatten(["type", "note"])


def test_a_table_that_is_not_as_described_is_found(described, tmp_path):
    """One value that is no number; size and checksum are left out, which would find it as well."""
    resource = next(r for r in csv_only(described)["resources"] if r["name"] == "digits")
    for name in ("bytes", "hash"):
        del resource[name]
    (tmp_path / "tables").mkdir()
    table = shutil.copy(PUBLISHED / resource["path"], tmp_path / "tables")
    text = (tmp_path / resource["path"]).read_text()
    (tmp_path / resource["path"]).write_text(text.replace(",0.01,", ",fast,", 1))
    found = Package(described | {"resources": [resource]}, basepath=str(tmp_path)).validate()
    assert table and [error[0] for error in found.flatten(["type"])] == ["type-error"]


def test_every_parquet_file_has_the_described_types(described):
    resources = [each for each in described["resources"] if each["format"] == "parquet"]
    assert len(resources) >= 2
    for resource in resources:
        schema = pq.read_schema(PUBLISHED / resource["path"])
        fields = resource["schema"]["fields"]
        assert schema.names == [field["name"] for field in fields]
        for field, kind in zip(fields, schema.types, strict=True):
            value = kind.value_type if pa.types.is_dictionary(kind) else kind
            assert value == ARROW[field["type"]], field["name"]


def test_every_column_that_a_study_makes_has_a_meaning(default_config):
    analysis = default_config["analysis"] | {"permutations": 999, "bootstraps": 999}
    study = Study.from_config(default_config | {"analysis": analysis})
    made = made_tables(study, 8) | {
        "curvature": curvature.COLUMNS,
        "prediction": prediction.COLUMNS,
        "associations": ASSOCIATIONS,
    }
    for table, columns in made.items():
        if table in PARQUET:
            continue  # those are looked at as they are published
        assert all(meaning(table, column) for column in columns)


def test_what_a_column_means_may_depend_on_its_table():
    assert meaning("diagnostics", "path_norm").startswith("Σ over hidden units")
    assert meaning("runs", "final_path_norm").startswith("at the end of training: Σ over hidden")
    assert meaning("runs", "epochs_to_0.2258") == meaning("runs", "epochs_to_1e-05")
    assert meaning("tuning", "epochs") != meaning("horizon", "epochs")


def test_a_column_without_a_meaning_is_named():
    with pytest.raises(ValueError, match="does not say what colour of runs means"):
        meaning("runs", "colour")
