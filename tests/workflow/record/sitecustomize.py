"""Put on PYTHONPATH by the test of code as an input: what each script job has really loaded.

When a job of Snakemake ends, its rule, wildcards and digest of code, and the modules of bnstudy in
`sys.modules`, go into a file of the folder LOADED.
"""

import atexit
import json
import os
import sys
from pathlib import Path

FOLDER = os.environ.get("LOADED")


def record() -> None:
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if job is None or not FOLDER:
        return
    modules = [
        sys.modules[name].__file__ for name in sys.modules if name.split(".")[0] == "bnstudy"
    ]
    content = {
        "rule": job.rule,
        "wildcards": dict(job.wildcards.items()),
        "code": job.params.get("code"),
        "modules": sorted(module for module in modules if module),
    }
    Path(FOLDER, f"{job.rule}.{os.getpid()}.json").write_text(json.dumps(content))


if any(".snakemake/scripts" in argument for argument in sys.orig_argv):
    atexit.register(record)
