"""Pages to look at: HTML files that need no network.

overview    all tables, risks, records, figures and token pages -> report/{index,answers,tables}.html
token_page  the cells of one (model, split), D_u, the tokenizer -> report/{model}/{split}/tokens.html
"""

from geffect.report import pages


rule token_page:
    input:
        training=cells_here("training"),
        tokens=if_asked("tokens", cells_here("tokens")),
        instances=if_asked("instances", cells_here("instances")),
        rows=f"{ROOT}/data/{{split}}.parquet",
        tokenizer=first_original,
    output:
        page=report(
            f"{ROOT}/report/{{model}}/{{split}}/tokens.html",
            caption="../report/tokens.rst",
            category="Tokens",
            labels={"model": "{model}", "split": "{split}"},
        ),
        worst=f"{ROOT}/report/{{model}}/{{split}}/tokens.parquet",
        record=f"{ROOT}/report/{{model}}/{{split}}/tokens.json",
    log:
        f"{ROOT}/logs/token_page/{{model}}_{{split}}.log",
    benchmark:
        f"{ROOT}/benchmarks/token_page/{{model}}_{{split}}.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        cells=lambda w: [list(cell) for cell in cells_like(w)],
        limit_mb=config["report"]["tokens_page_mb"],
        seed=config["report"]["seed"],
        code=hashed("token_page"),
        templates=pages.version(),
    script:
        "../scripts/token_page.py"


rule overview:
    input:
        tables=[
            *(path for path in table_files() if path.endswith(".csv")),
            f"{ROOT}/tables/statements.csv",
        ],
        risk=per_cell(f"{CELL}/risk.parquet"),
        matched=if_matched(per_cell(f"{CELL}/matched.parquet")),
        records=per_cell(f"{CELL}/provenance.json"),
        originals=first_originals(),
        rows=[f"{ROOT}/data/{split}.parquet" for _, split in model_splits()],
        held_out=[table(split_of(split).held_out) for _, split in model_splits()],
        figures=figure_folders(),
        run_figures=run_figure_folders(),
        tokens=[
            f"{ROOT}/report/{model}/{split}/tokens.html"
            for model, split in model_splits()
        ],
        worst=[
            f"{ROOT}/report/{model}/{split}/tokens.parquet"
            for model, split in model_splits()
        ],
    output:
        page=f"{ROOT}/report/index.html",
        answers=report(
            f"{ROOT}/report/answers.html",
            caption="../report/answers.rst",
            category="Answers",
            labels={"page": "answers and statements"},
        ),
        tables=report(
            f"{ROOT}/report/tables.html",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "all, to sort and search"},
        ),
        record=f"{ROOT}/report/record.json",
    log:
        f"{ROOT}/logs/overview.log",
    benchmark:
        f"{ROOT}/benchmarks/overview.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        run=config["run"],
        cells=[list(cell) for cell in CONFIG.cells],
        places=[list(place) for place in model_splits()],
        variants=[variants_at(*place) for place in model_splits()],
        es_retain=config["matched"]["es_retain"],
        retain_rows=config["geffect"]["retain_rows"],
        max_rows=config["evaluation"]["max_rows"],
        captions={
            **{
                name: " ".join(
                    [
                        declared.caption,
                        *(gap_notes() if "metrics" in declared.reads else []),
                    ]
                )
                for name, declared in TABLES.items()
            },
            "statements": "What the paper says, judged twice. Look at the reason beside a verdict. "
            "'Does not hold' is no refutation of the paper: it is about this run.",
        },
        notes={name: declared.caption for name, declared in DRAWN.items()},
        code=hashed("overview"),
        templates=pages.version(),
    script:
        "../scripts/overview.py"
