"""Put on PYTHONPATH by the fault injection: kills a job of one rule at its nth finished file.

FAULT is "<rule>:<n>:<before|after>:<job|both>": just before or after the nth file that the job
writes takes its name, SIGKILL the job, or Snakemake with it.
"""

import os
import signal
import sys
from pathlib import Path

rule, nth, when, whom = os.environ.get("FAULT", ":0::").split(":")
if rule and any(argument.endswith(f".{rule}.py") for argument in sys.orig_argv):
    replace, done = Path.replace, 0

    def kill() -> None:
        if whom == "both":
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def killing(path: Path, target: Path) -> Path:
        global done
        done += 1
        if done == int(nth) and when == "before":
            kill()
        result = replace(path, target)
        if done == int(nth):
            kill()
        return result

    Path.replace = killing
