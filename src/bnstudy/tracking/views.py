"""What a browser shows first: addresses of MLflow's pages, with columns and filters chosen."""

from urllib.parse import urlencode


def links(experiment_id: str, width: int) -> dict[str, str]:
    """Addresses below the server's: the `table` of arms and widths, the `chart` at one width."""
    cells = "tags.level = 'cell' and tags.superseded = 'false'"
    return {
        "table": _runs(experiment_id, "TABLE", cells),
        "chart": _runs(experiment_id, "CHART", f"{cells} and tags.width = '{width}'"),
    }


def shared(width: int) -> dict[str, str]:
    """Experiment tags that hold the views."""
    return {}


def _runs(experiment_id: str, mode: str, where: str) -> str:
    query = {"searchFilter": where, "workflowType": "machine_learning", "compareRunsMode": mode}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query)}"
