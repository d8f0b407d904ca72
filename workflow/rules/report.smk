"""Tables and figures over all cells; what each of them reads is declared in its file.

tables   frames and records of every cell and reference model -> tables/*
figures  frames of the cells of one (model, split), tables -> figures/{model}/{split}/*.pdf, *.png
"""


rule tables:
    input:
        unpack(report_inputs(TABLES)),
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
        code=hashed("tables", *files_of(TABLES)),
    script:
        "../scripts/tables.py"


rule figures:
    input:
        unpack(report_inputs(FIGURES)),
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
        variants=variants_of,
        code=hashed("figures", *files_of(FIGURES)),
    script:
        "../scripts/figures.py"
