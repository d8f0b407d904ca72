"""Tables and figures over all cells.

tables   every cell's metrics, geffect and training log, its metrics at matched retention, the
         references' metrics, and how all were made (provenance.json, ...) -> tables/*
figures  the cells of one (model, split), the main table -> figures/{model}/{split}/*.pdf, *.png
"""


rule tables:
    input:
        metrics=per_cell(f"{CELL}/metrics.parquet"),
        geffect=per_cell(f"{CELL}/geffect.parquet"),
        risk=per_cell(f"{CELL}/risk.parquet"),
        training=per_cell(f"{CELL}/training.parquet"),
        references=per_reference(f"{REFERENCE}/metrics.parquet"),
        provenance=per_cell(f"{CELL}/provenance.json"),
        geffect_records=unless_in_run(per_cell(f"{CELL}/geffect.json")),
        records=per_cell(f"{CELL}/evaluation.json"),
        reference_records=per_reference(f"{REFERENCE}/evaluation.json"),
        at_records=if_steps(per_cell(f"{CELL}/evaluation_at.json")),
        matched=if_matched(per_cell(f"{CELL}/matched.parquet")),
        matched_records=if_matched(per_cell(f"{CELL}/matched.json")),
    output:
        tables=table_files(),
        record=f"{ROOT}/tables/record.json",
    log:
        f"{ROOT}/logs/tables.log",
    benchmark:
        f"{ROOT}/benchmarks/tables.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        cells=[list(cell) for cell in CONFIG.cells],
        references=reference_keys(),
        notes=table_notes(),
        es_retain=config["matched"]["es_retain"],
        code=hashed("tables"),
    script:
        "../scripts/tables.py"


rule figures:
    input:
        geffect=lambda w: per_cell(
            f"{CELL}/geffect.parquet", model=w.model, split=w.split
        ),
        risk=lambda w: per_cell(f"{CELL}/risk.parquet", model=w.model, split=w.split),
        training=lambda w: per_cell(
            f"{CELL}/training.parquet", model=w.model, split=w.split
        ),
        main=f"{ROOT}/tables/main.csv",
    output:
        figures=directory(f"{ROOT}/figures/{{model}}/{{split}}"),
    log:
        f"{ROOT}/logs/figures/{{model}}_{{split}}.log",
    benchmark:
        f"{ROOT}/benchmarks/figures/{{model}}_{{split}}.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        cells=lambda w: [list(cell) for cell in cells_of(w.model, w.split)],
        code=hashed("figures"),
    script:
        "../scripts/figures.py"
