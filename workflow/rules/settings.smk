"""The files of settings, checked before Snakemake reads them: of two equal keys it takes the last."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from bnstudy.config.checks import ConfigError, check_yaml
from bnstudy.start import collect_seldom

collect_seldom()
try:
    for path in [ROOT / "config.yaml", *workflow.config_settings.configfiles]:
        check_yaml(path)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}")
