"""What a browser shows first: MLflow's pages with rows, columns and charts chosen.

MLflow keeps a saved view in a tag of the experiment, lists it in the menu *Views* and names it in
the address. Views written the same way here are there for everyone, on any server, also under plain
`mlflow ui`.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from bnstudy.analysis.outcomes import REFERENCE, threshold_columns
from bnstudy.config.models import StudySettings

# What the menu shows, in its order, by what the address says.
NAMES = {
    "study": "The study: verdicts, figures, tables",
    "table": "Which arm wins at which width",
    "chart": "Curves of the arms (chart view)",
    "seeds": "Single runs",
    "cells": "Cells of all settings",
    "tuned": "Tuned: each arm at its best rate",
    "tried": "Tuning: the rates that were tried",
}
CURRENT = "tags.superseded = 'false'"
MODE = "workflowType=machine_learning"  # else MLflow 3 may show its GenAI pages

# In MLflow's own words: a page of runs; a section of it, which takes the metrics that begin with
# its name; and a line chart with log axes, as the losses need it.
_STATE = json.loads("""
{"page": {"startTime": "ALL", "lifecycleFilter": "Active", "datasetsFilter": [],
  "modelVersionFilter": "All Runs", "runsHiddenMode": "SHOW_ALL"},
 "section": {"uuid": "loss", "name": "loss", "display": true, "isReordered": false,
  "deleted": false, "isGenerated": true},
 "chart": {"type": "LINE", "metricSectionId": "loss", "xAxisKey": "step", "xAxisScaleType": "log",
  "useGlobalXaxisKey": false, "scaleType": "log", "lineSmoothness": 0,
  "useGlobalLineSmoothing": false, "displayPoints": false, "yAxisKey": "metric",
  "yAxisExpressions": [], "selectedXAxisMetricKey": "", "ignoreOutliers": false, "range": {},
  "runsCountToCompare": 100, "isGenerated": true}}
""")


def in_grid(study: StudySettings) -> str:
    """A filter: current runs with the study's default settings, of any arm and width."""
    return " and ".join([CURRENT, *(f"tags.{n} = '{v}'" for n, v in study.reference.items())])


def shared(study: StudySettings) -> dict[str, str]:
    """Tags of the experiment that hold the views."""
    primary, reference = study.analysis.primary, in_grid(study)
    epochs, _ = threshold_columns(primary.threshold)
    at_width = f"{reference} and tags.width = '{primary.width}'"
    cell = f"tags.level = 'cell' and {CURRENT}"
    outcomes = ["final_test_loss", f"test_loss_over_{REFERENCE}", epochs]
    arms, settings = ["arm", "width"], ["arm", "width", *study.reference]
    of_seeds = ["final_test_loss", "final_train_loss", epochs]
    by_time, charts = {"orderByKey": "attributes.start_time", "orderByAsc": False}, _charts()
    views = {
        "study": _view("tags.level = 'study'", [], ["runs", "diverged", "seconds"]) | by_time,
        "table": _view(f"tags.level = 'cell' and {reference}", arms, outcomes),
        "chart": _view(f"tags.level = 'cell' and {at_width}", arms, outcomes) | by_time | charts,
        "seeds": _view(f"tags.level = 'seed' and {at_width}", ["arm", "seed"], of_seeds),
        "cells": _view(cell, settings, outcomes),
        "tuned": _view(f"{cell} and tags.tuned_for != 'nothing'", settings, outcomes),
        "tried": _view(f"{cell} and tags.role = 'tuning'", settings, outcomes),
    }
    return {f"mlflow.sharedViewState.{name}": _saved(name, view) for name, view in views.items()}


def links(experiment_id: str) -> dict[str, str]:
    """Addresses of the shared views below the server's, and of the experiment's `start` page."""
    runs = f"#/experiments/{experiment_id}/runs"
    links = {name: f"{runs}?viewStateShareKey={name}&{MODE}" for name in NAMES}
    links["chart"] += "&compareRunsMode=CHART"
    return {"start": f"{runs}?{MODE}", **links}


def page(experiment_id: str, run_id: str) -> str:
    """The address of a run's page, from any page of the server."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{MODE}"


def _charts() -> dict[str, Any]:
    """The medians' charts; those of the quartiles are deleted, so that they do not come back."""
    charts = [
        _STATE["chart"]
        | {"uuid": metric, "metricKey": metric, "selectedMetricKeys": [metric]}
        | {"deleted": bool(suffix)}
        for suffix in ("", "_q1", "_q3")
        for metric in (f"loss/test{suffix}", f"loss/train{suffix}")
    ]
    return {"compareRunSections": [_STATE["section"]], "compareRunCharts": charts}


def _view(where: str, params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    """A state of MLflow's page of runs, in its own words; the least final test loss first."""
    columns = [*(f"params.`{p}`" for p in params), *(f"metrics.`{m}`" for m in metrics)]
    order = {"orderByKey": "metrics.`final_test_loss`", "orderByAsc": True}
    return _STATE["page"] | {"searchFilter": where, "selectedColumns": columns} | order


def _saved(name: str, view: dict[str, Any]) -> str:
    """As MLflow (3.15 and later) saves it: its state is deflated, in base64.

    The menu has the latest first, and shows no times: here they are places in it.
    """
    state = base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
    place = {"createdAt": -list(NAMES).index(name)}
    return json.dumps({"name": NAMES[name], **place, "state": f"deflate;{state}"})
