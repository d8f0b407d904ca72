"""Tables and figures over all cells; what each of them reads is declared in its file.

tables       frames and records of every cell and reference model -> tables/*
figures      frames of the cells of one (model, split), tables -> figures/{model}/{split}/*.pdf, *.png
run_figures  the same of all cells -> run_figures/*.pdf, *.png
"""


rule tables:
    input:
        unpack(report_inputs(TABLES)),
        found=if_own(CONFIG.sizes_file),
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
        missing=reference_keys(missing=True),
        notes=table_notes(),
        tables=list(TABLES),
        code=hashed("tables", *files_of(TABLES)),
    script:
        "../scripts/tables.py"


rule figures:
    input:
        unpack(report_inputs(FIGURES)),
    output:
        figures=report(
            directory(f"{ROOT}/figures/{{model}}/{{split}}"),
            patterns=["{figure}.png"],
            caption="../report/figure.rst",
            category=category_of_figure,
            subcategory="{model}, {split}",
            labels=labels_of_figure,
        ),
    log:
        f"{ROOT}/logs/figures/{{model}}_{{split}}.log",
    benchmark:
        f"{ROOT}/benchmarks/figures/{{model}}_{{split}}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 2
    params:
        cells=lambda w: [list(cell) for cell in cells_like(w)],
        variants=variants_of,
        figures=list(FIGURES),
        further=config["report"]["figures"],
        captions=captions_of,
        resamples=config["report"]["resamples"],
        seed=config["report"]["seed"],
        code=hashed("figures", *files_of(FIGURES)),
    script:
        "../scripts/figures.py"


rule run_figures:
    input:
        unpack(report_inputs(RUN_FIGURES)),
    output:
        figures=report(
            directory(f"{ROOT}/run_figures"),
            patterns=["{figure}.png"],
            caption="../report/figure.rst",
            category=category_of_figure,
            labels=labels_of_figure,
        ),
    log:
        f"{ROOT}/logs/run_figures.log",
    benchmark:
        f"{ROOT}/benchmarks/run_figures.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        cells=[list(cell) for cell in CONFIG.cells],
        variants=variants_of,
        figures=list(RUN_FIGURES),
        further=config["report"]["figures"],
        captions=captions_of,
        resamples=config["report"]["resamples"],
        seed=config["report"]["seed"],
        code=hashed("figures", *files_of(RUN_FIGURES)),
    script:
        "../scripts/figures.py"
