"""The library: beside this file in a checkout, installed where only the rules were fetched."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
BESIDE = (WORKFLOW / "geffect").is_dir()
if BESIDE:
    sys.path.insert(0, str(WORKFLOW))
try:
    import geffect
except ImportError:
    raise WorkflowError(
        "the package geffect is not installed: pip install it from the same release as this workflow"
    ) from None

import snakemake_internals
from geffect.config.given import read_file
from geffect.errors import GeffectError

if BESIDE:
    snakemake_internals.have_jobs_import_from(WORKFLOW)
