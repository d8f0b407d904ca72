"""The library: beside this file in a checkout, installed where only the rules were fetched."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
if (WORKFLOW / "geffect").is_dir():
    sys.path.insert(0, str(WORKFLOW))
    # Jobs are processes of their own, in which an installed package of this name would win.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(WORKFLOW), os.environ.get("PYTHONPATH")])
    )
try:
    import geffect
except ImportError:
    raise WorkflowError(
        "the package geffect is not installed: pip install it from the same release as this workflow"
    ) from None

import snakemake_internals
from geffect.config.given import read_file
from geffect.errors import GeffectError
