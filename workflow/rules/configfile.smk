"""Reads config.yaml, and says file and line where that cannot be read; no rules."""

from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

if Path("config.yaml").is_file():
    try:
        yaml.load(
            Path("config.yaml").read_text(encoding="utf-8"),
            getattr(yaml, "CSafeLoader", yaml.SafeLoader),
        )
    except UnicodeDecodeError:
        raise WorkflowError("config.yaml: not UTF-8; save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise WorkflowError(
            f"config.yaml: {' '.join(str(error).split())}; fix the file"
        ) from None


configfile: "config.yaml"
