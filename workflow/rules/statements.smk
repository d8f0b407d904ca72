"""The statements of the paper, judged from the run.

statements  every cell's geffect, risk, training log and instances -> tables/statements.csv, .md
"""


rule statements:
    input:
        geffect=per_cell(f"{CELL}/geffect.parquet"),
        risk=per_cell(f"{CELL}/risk.parquet"),
        training=per_cell(f"{CELL}/training.parquet"),
        instances=if_asked("instances", per_cell(f"{CELL}/instances.parquet")),
    output:
        csv=f"{ROOT}/tables/statements.csv",
        md=f"{ROOT}/tables/statements.md",
        record=f"{ROOT}/tables/statements.json",
    log:
        f"{ROOT}/logs/statements.log",
    benchmark:
        f"{ROOT}/benchmarks/statements.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        cells=[list(cell) for cell in CONFIG.cells],
        variants=[used_variants(*of) for of in model_splits()],
        splits=list(CONFIG.known_splits),
        resamples=config["report"]["resamples"],
        seed=config["report"]["seed"],
        code=hashed("statements"),
    script:
        "../scripts/statements.py"
