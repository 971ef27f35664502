"""From the study's files to MLflow: one importer that may run at any time, any number of times.

Training knows nothing of MLflow. `importer.track` reads what it left and brings an MLflow
experiment up to date with it. The database can be deleted at any time: it holds nothing that the
files do not. Rooms: `plan` (what shall be there), `artifacts` (files, weights, models), `notes`
(what is said in words), `server` (where it goes), `importer` (what is missing there), `views` (what
a browser shows first).

With `commands.ui` the only part that imports mlflow.
"""

import os

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # MLflow understands `true` only, not 1
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is not there is reported in seconds,
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # not in the four minutes of MLflow's defaults
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # would cost one request per run
}.items():
    os.environ.setdefault(_name, _value)  # read by mlflow when it is imported
