"""What a browser shows first: MLflow's pages with rows, columns and charts chosen.

MLflow's "Share" button keeps a view in a tag of the experiment and names it in the address. Views
written the same way here are there for everyone, on any server, also under plain `mlflow ui`.
"""

import base64
import json
import zlib
from collections.abc import Sequence

from bnstudy.measures import threshold_columns
from bnstudy.study import Analysis

SHOWN = "tags.superseded = 'false' and tags.variant = 'default'"
CELLS = f"tags.level = 'cell' and {SHOWN}"
MODE = "workflowType=machine_learning"  # else MLflow 3 may show its GenAI pages


# A section of the page takes the metrics that begin with its name.
_SECTION = {"uuid": "loss", "name": "loss", "display": True, "isReordered": False, "deleted": False,
            "isGenerated": True}  # fmt: skip


def _chart(metric: str, deleted: bool = False) -> dict:
    """A line chart with log axes, as the losses need it; a deleted one does not come back."""
    return {
        "type": "LINE", "uuid": metric, "metricSectionId": "loss", "metricKey": metric,
        "selectedMetricKeys": [metric], "xAxisKey": "step", "xAxisScaleType": "log",
        "useGlobalXaxisKey": False, "scaleType": "log", "lineSmoothness": 0,
        "useGlobalLineSmoothing": False, "displayPoints": False, "yAxisKey": "metric",
        "yAxisExpressions": [], "selectedXAxisMetricKey": "", "ignoreOutliers": False,
        "range": {}, "runsCountToCompare": 100, "isGenerated": True, "deleted": deleted,
    }  # fmt: skip


_CHARTS = [
    _chart(f"loss/{part}{suffix}", deleted=bool(suffix))
    for suffix in ("", "_q1", "_q3") for part in ("test", "train")
]  # fmt: skip


def shared(analysis: Analysis) -> dict[str, str]:
    """Tags of the experiment that hold the views `table`, `seeds` and `chart`, by name."""
    epochs, _ = threshold_columns(analysis.primary.threshold)
    width = analysis.primary.width
    arms = _columns(["arm", "width"], ["final_test_loss", "test_loss_over_none", epochs])
    seeds = _columns(["arm", "seed"], ["final_test_loss", "final_train_loss", epochs])
    views = {
        "table": _view(CELLS, columns=arms, order="metrics.`final_test_loss`"),
        "seeds": _view(
            f"tags.level = 'seed' and {SHOWN} and tags.width = '{width}'",
            columns=seeds, order="metrics.`final_test_loss`",
        ),
        "chart": _view(
            f"{CELLS} and tags.width = '{width}'", columns=arms,
            compareRunSections=[_SECTION], compareRunCharts=_CHARTS,
        ),
    }  # fmt: skip
    return {f"mlflow.sharedViewState.{name}": _packed(view) for name, view in views.items()}


def links(experiment_id: str) -> dict[str, str]:
    """Addresses of the shared views below the server's, and of the experiment's `start` page."""
    runs = f"#/experiments/{experiment_id}/runs"
    modes = {"table": "TABLE", "seeds": "TABLE", "chart": "CHART"}
    return {"start": f"{runs}?{MODE}"} | {
        name: f"{runs}?viewStateShareKey={name}&{MODE}&compareRunsMode={mode}"
        for name, mode in modes.items()
    }


def page(experiment_id: str, run_id: str) -> str:
    """The address of a run's page, from any page of the server."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{MODE}"


def _view(
    where: str, columns: Sequence[str], order: str = "attributes.start_time", **charts
) -> dict:
    """A state of MLflow's page of runs, in its own words."""
    return {
        "searchFilter": where, "orderByKey": order, "orderByAsc": not order.startswith("attr"),
        "startTime": "ALL", "lifecycleFilter": "Active", "datasetsFilter": [],
        "modelVersionFilter": "All Runs", "selectedColumns": columns,
        "runsHiddenMode": "SHOW_ALL", **charts,
    }  # fmt: skip


def _columns(params: Sequence[str], metrics: Sequence[str]) -> list[str]:
    return [*(f"params.`{p}`" for p in params), *(f"metrics.`{m}`" for m in metrics)]


def _packed(view: dict) -> str:
    """As MLflow packs it: deflated JSON, in base64."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
