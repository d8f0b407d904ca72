"""G-effects at every checkpoint of a cell.

geffect  θ_o, checkpoints/, model/, draws.safetensors, data -> the cell's geffect.parquet
"""


rule geffect:
    input:
        original=original_model,
        model=f"{CELL}/model",
        checkpoints=f"{CELL}/checkpoints",
        training=f"{CELL}/training.parquet",
        draws=f"{CELL}/draws.safetensors",
        forget=f"{ROOT}/data/{{split}}.parquet",
        retain=lambda w: table(SPLITS[w.split]),
        held_out=table("held_out"),
        refusals=table("refusals"),
    output:
        geffect=f"{CELL}/geffect.parquet",
    log:
        f"{ROOT}/logs/geffect/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/geffect/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
    priority: 10
    conda:
        "../../envs/geffect.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lambda w: resource(w, "gpus"),
        mem_mb=lambda w, attempt: attempt * resource(w, "mem_mb"),
        runtime=lambda w, attempt: attempt * resource(w, "runtime"),
    params:
        template=lambda w: CONFIG.template(w.model),
        objective=objective_of,
        regularizer=regularizer_of,
        probes=probes_of,
        held_out=config["data"]["held_out"],
        retain_rows=config["geffect"]["retain_rows"],
        micro_batch_size=config["geffect"]["micro_batch_size"],
        compute=compute(),
        code=lambda w: hashed(
            "geffect",
            RISK,
            *cell_files(w),
            *CONFIG.source_files(None, *probes_of(w).values()),
        ),
    script:
        "../scripts/geffect.py"
