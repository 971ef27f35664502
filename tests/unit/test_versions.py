"""What the runs were made with, from records."""

from bnstudy.analysis.versions import versions


def test_each_version_and_each_processor_is_named_once():
    def record(torch, processor):
        versions = {"torch": torch, "numpy": "2"}
        return {"versions": versions, "machine": {"processor": processor, "system": "any"}}

    table = versions([record("9.1", "One"), record("9.2", "Two"), record("9.1", "One")])
    assert list(table) == ["kind", "name", "version"]
    assert table.values.tolist() == [
        ["processor", "One", ""],
        ["processor", "Two", ""],
        ["software", "numpy", "2"],
        ["software", "torch", "9.1"],
        ["software", "torch", "9.2"],
    ]
    assert list(versions([])) == ["kind", "name", "version"]
