"""Reads config.yaml, and says file and line where that cannot be read; no rules."""

if Path("config.yaml").is_file() and snakemake_internals.reads_configfile(workflow):
    try:
        read_file("config.yaml", "config.yaml")
    except GeffectError as error:
        raise WorkflowError(str(error)) from None


configfile: "config.yaml"
