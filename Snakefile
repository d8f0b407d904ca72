from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/orphans.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/unlearn.smk"
include: "workflow/rules/geffect.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/status.smk"


localrules:
    all,
    cells,
    data,
    download_model,


rule all:
    default_target: True
    input:
        all_targets(),


rule cells:
    input:
        cell_targets(),


onstart:
    begin()


onsuccess:
    finish()


onerror:
    fail(log)
