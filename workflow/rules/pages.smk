"""Pages to look at: HTML files that need no network.

token_page  the cells of one (model, split), D_u, the tokenizer -> pages/{model}/{split}/tokens.html
"""

from geffect.report import pages


def first_original(wildcards):
    """The original model of the first seed, whose tokenizer all cells share."""
    return fill(
        f"{MODEL}/model",
        model=wildcards.model,
        corpus="full",
        seed=cells_of(wildcards.model, wildcards.split)[0].seed,
    )


def cells_here(name):
    """An input function: a table of every cell of one (model, split)."""
    return lambda w: per_cell(f"{CELL}/{name}.parquet", model=w.model, split=w.split)


rule token_page:
    input:
        training=cells_here("training"),
        tokens=if_asked("tokens", cells_here("tokens")),
        instances=if_asked("instances", cells_here("instances")),
        rows=f"{ROOT}/data/{{split}}.parquet",
        tokenizer=first_original,
    output:
        page=report(
            f"{ROOT}/pages/{{model}}/{{split}}/tokens.html",
            caption="../report/tokens.rst",
            category="Tokens",
            labels={"model": "{model}", "split": "{split}"},
        ),
        record=f"{ROOT}/pages/{{model}}/{{split}}/tokens.json",
    log:
        f"{ROOT}/logs/token_page/{{model}}_{{split}}.log",
    benchmark:
        f"{ROOT}/benchmarks/token_page/{{model}}_{{split}}.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        cells=lambda w: [list(cell) for cell in cells_of(w.model, w.split)],
        limit_mb=config["report"]["tokens_page_mb"],
        seed=config["report"]["seed"],
        code=hashed("token_page"),
        templates=pages.version(),
    script:
        "../scripts/token_page.py"
