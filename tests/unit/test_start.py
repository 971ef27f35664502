"""How a job's process starts."""

import subprocess
import sys

JOB = """
import atexit, gc, sys, warnings
from bnstudy.start import start_job
atexit.register(lambda: print("frozen at the end:", gc.get_freeze_count() > 0, flush=True))
start_job(sys.argv[1])
print("thresholds:", gc.get_threshold(), "frozen:", gc.get_freeze_count())
warnings.warn("a warning")
raise ValueError("what went wrong")
"""


def test_all_that_a_job_says_is_in_its_log(tmp_path):
    """And garbage is looked for seldom, and not at the end."""
    log = tmp_path / "job.log"
    command = [sys.executable, "-c", JOB, str(log)]
    job = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (job.returncode, job.stdout, job.stderr) == (1, "", "")
    said = log.read_text()
    assert "thresholds: (100000, 50, 100) frozen: 0" in said
    assert "UserWarning: a warning" in said and "ValueError: what went wrong" in said
    assert said.endswith("frozen at the end: True\n")
