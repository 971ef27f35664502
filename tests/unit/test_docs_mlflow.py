"""docs/mlflow.md: its Python does what it says, on a small study."""

import re
from typing import Any

import pytest

from tests.small_study import ROOT, make_study, table_of, track_study


def test_the_page_s_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(make_study(tmp_path))
    track_study(tmp_path)
    page = (ROOT / "docs" / "mlflow.md").read_text().replace('"bnstudy"', '"study"')
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    runs, table = names["runs"].set_index(["arm", "seed"]), table_of(tmp_path)
    assert len(runs) == len(table)
    for row in table[table.status == "finished"].itertuples():
        assert runs.test[row.arm, row.seed] == pytest.approx(row.final_test_loss, rel=1e-15)
    assert names["model"](names["points"]).shape == (1, 3)
    assert names["curve"][-1].step == 59
    assert "claims.md" in capsys.readouterr().out
