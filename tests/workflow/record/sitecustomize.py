"""Put on PYTHONPATH by the test of code as an input: what each script job has really used.

When a job of Snakemake ends, its rule, wildcards and digest of code go into a file of the folder
LOADED, with the modules of bnstudy in `sys.modules`, and the files of the package that it read.
"""

import atexit
import json
import os
import sys
from pathlib import Path

FOLDER = os.environ.get("LOADED")
read: set[str] = set()


def note(event: str, arguments: tuple) -> None:
    """What the job opens in the package; what imports read of it is compiled already, or loaded."""
    if event == "open" and "/src/bnstudy/" in str(arguments[0]):
        read.add(str(arguments[0]))


def record() -> None:
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if job is None:
        return
    ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "bnstudy"]
    content = {
        "rule": job.rule,
        "wildcards": dict(job.wildcards.items()),
        "code": job.params.get("code"),
        "loaded": [module.__file__ for module in ours],
        "read": [path for path in read if "__pycache__" not in path],
    }
    Path(FOLDER, f"{job.rule}.{os.getpid()}.json").write_text(json.dumps(content))


if FOLDER and any(".snakemake/scripts" in argument for argument in sys.orig_argv):
    sys.addaudithook(note)
    atexit.register(record)
