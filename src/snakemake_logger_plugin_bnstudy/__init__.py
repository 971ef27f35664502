"""`snakemake --logger bnstudy`: what happens to the jobs, as lines of JSON, for `bnstudy run`.

A plugin of Snakemake beside its usual output: https://snakemake.github.io/snakemake-plugin-catalog.
"""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

EVENTS = ("run_info", "job_started", "job_info", "job_finished", "job_error")
# Snakemake's names of what it says of an event.
FIELDS = ("event", "jobid", "job_id", "rule_name", "wildcards", "log", "stats")


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Options: `--logger-bnstudy-events FILE`."""

    events: str = field(default="", metadata={"help": "File to append to.", "required": True})


class LogHandler(LogHandlerBase):
    """Appends each event of a job, and each warning, to the file."""

    settings: LogHandlerSettings
    writes_to_stream = writes_to_file = needs_rulegraph = False
    has_filter = has_formatter = True

    def emit(self, record: logging.LogRecord) -> None:
        """One line: the fields that the record has, `level` and `message`."""
        if getattr(record, "event", None) in EVENTS or record.levelno == logging.WARNING:
            said = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
            said |= {"level": record.levelname, "message": record.getMessage()}
            with Path(self.settings.events).open("a") as file:
                file.write(json.dumps(said, default=str) + "\n")
