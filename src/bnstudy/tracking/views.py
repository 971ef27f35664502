"""What a browser shows first: MLflow's pages with rows, columns and charts chosen.

MLflow's "Share" button keeps a view in a tag of the experiment and names it in the address. Views
written the same way here are there for everyone, on any server, also under plain `mlflow ui`.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from bnstudy.analysis.outcomes import REFERENCE, threshold_columns
from bnstudy.config.models import StudySettings

CURRENT = "tags.superseded = 'false'"
MODE = "workflowType=machine_learning"  # else MLflow 3 may show its GenAI pages

# A section of the page takes the metrics that begin with its name.
_SECTION = """
{"uuid": "loss", "name": "loss", "display": true, "isReordered": false, "deleted": false,
 "isGenerated": true}
"""
# A line chart with log axes, as the losses need it.
_CHART = """
{"type": "LINE", "metricSectionId": "loss", "xAxisKey": "step", "xAxisScaleType": "log",
 "useGlobalXaxisKey": false, "scaleType": "log", "lineSmoothness": 0,
 "useGlobalLineSmoothing": false, "displayPoints": false, "yAxisKey": "metric",
 "yAxisExpressions": [], "selectedXAxisMetricKey": "", "ignoreOutliers": false, "range": {},
 "runsCountToCompare": 100, "isGenerated": true}
"""
_VIEW = """
{"startTime": "ALL", "lifecycleFilter": "Active", "datasetsFilter": [],
 "modelVersionFilter": "All Runs", "runsHiddenMode": "SHOW_ALL"}
"""


def in_grid(study: StudySettings) -> str:
    """A filter: current runs with the study's default settings, of any arm and width."""
    return " and ".join([CURRENT, *(f"tags.{n} = '{v}'" for n, v in study.reference.items())])


def shared(study: StudySettings) -> dict[str, str]:
    """Tags of the experiment that hold the views `table`, `cells`, `seeds` and `chart`."""
    primary = study.analysis.primary
    epochs, _ = threshold_columns(primary.threshold)
    at_width = f"{in_grid(study)} and tags.width = '{primary.width}'"
    outcomes = ["final_test_loss", f"test_loss_over_{REFERENCE}", epochs]
    arms = _columns(["arm", "width"], outcomes)
    views = {
        "table": _view(f"tags.level = 'cell' and {in_grid(study)}", arms),
        "cells": _view(
            f"tags.level = 'cell' and {CURRENT}",
            _columns(["arm", "width", *study.reference], outcomes),
        ),
        "seeds": _view(
            f"tags.level = 'seed' and {at_width}",
            _columns(["arm", "seed"], ["final_test_loss", "final_train_loss", epochs]),
        ),
        "chart": {
            **_view(f"tags.level = 'cell' and {at_width}", arms, order="attributes.start_time"),
            "compareRunSections": [json.loads(_SECTION)],
            "compareRunCharts": _charts(),
        },
    }
    return {f"mlflow.sharedViewState.{name}": _packed(view) for name, view in views.items()}


def links(experiment_id: str) -> dict[str, str]:
    """Addresses of the shared views below the server's, and of the experiment's `start` page."""
    runs = f"#/experiments/{experiment_id}/runs"
    modes = {"table": "TABLE", "cells": "TABLE", "seeds": "TABLE", "chart": "CHART"}
    return {"start": f"{runs}?{MODE}"} | {
        name: f"{runs}?viewStateShareKey={name}&{MODE}&compareRunsMode={mode}"
        for name, mode in modes.items()
    }


def page(experiment_id: str, run_id: str) -> str:
    """The address of a run's page, from any page of the server."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{MODE}"


def _charts() -> list[dict[str, Any]]:
    """The medians' charts; those of the quartiles are deleted, so that they do not come back."""
    return [
        json.loads(_CHART)
        | {"uuid": metric, "metricKey": metric, "selectedMetricKeys": [metric]}
        | {"deleted": bool(suffix)}
        for suffix in ("", "_q1", "_q3")
        for metric in (f"loss/test{suffix}", f"loss/train{suffix}")
    ]


def _view(
    where: str, columns: Sequence[str], order: str = "metrics.`final_test_loss`"
) -> dict[str, Any]:
    """A state of MLflow's page of runs, in its own words."""
    ascending = not order.startswith("attributes")
    chosen = {"searchFilter": where, "selectedColumns": columns}
    return json.loads(_VIEW) | chosen | {"orderByKey": order, "orderByAsc": ascending}


def _columns(params: Sequence[str], metrics: Sequence[str]) -> list[str]:
    return [*(f"params.`{p}`" for p in params), *(f"metrics.`{m}`" for m in metrics)]


def _packed(view: dict[str, Any]) -> str:
    """As MLflow packs it: deflated JSON, in base64."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
