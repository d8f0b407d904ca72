"""Unlearning, one job a cell.

unlearn  θ_o, data/{split,retain,refusals}.parquet -> the cell's model/, checkpoints/,
         training.parquet, draws.safetensors, provenance.json
"""


rule unlearn:
    input:
        original=original_model,
        forget=f"{ROOT}/data/{{split}}.parquet",
        retain=lambda w: table(SPLITS[w.split]),
        refusals=table("refusals"),
    output:
        model=directory(f"{CELL}/model"),
        checkpoints=checkpoints(f"{CELL}/checkpoints"),
        training=f"{CELL}/training.parquet",
        draws=f"{CELL}/draws.safetensors",
        provenance=f"{CELL}/provenance.json",
    log:
        f"{ROOT}/logs/unlearn/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/unlearn/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
    conda:
        "../../envs/geffect.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lambda w: resource(w, "gpus"),
        mem_mb=lambda w, attempt: attempt * resource(w, "mem_mb"),
        runtime=lambda w, attempt: attempt * resource(w, "runtime"),
    params:
        template=lambda w: CONFIG.template(w.model),
        training=lambda w: CONFIG.training(w.model, "unlearn", w.objective),
        checkpoint_every=config["training"]["checkpoint_every"],
        objective=objective_of,
        regularizer=regularizer_of,
        held_out=config["data"]["held_out"],
        compute=compute(),
        code=lambda w: hashed("unlearn", *cell_files(w)),
    script:
        "../scripts/unlearn.py"
