"""G-effects at every checkpoint of a cell (where `geffect.in_run` does not measure them earlier).

geffect  θ_o, checkpoints/, model/, draws.safetensors, data -> the cell's geffect.parquet,
         risk.parquet, instances.parquet, tokens.parquet, geffect.json
"""

if not config["geffect"]["in_run"]:

    rule geffect:
        input:
            **cell_inputs(),
            held_out=table("held_out"),
            model=f"{CELL}/model",
            checkpoints=f"{CELL}/checkpoints",
            training=f"{CELL}/training.parquet",
            draws=f"{CELL}/draws.safetensors",
        output:
            **geffect_tables(),
            record=f"{CELL}/geffect.json",
        log:
            f"{ROOT}/logs/geffect/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
        benchmark:
            f"{ROOT}/benchmarks/geffect/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
        priority: 10
        conda:
            "../../envs/geffect.yaml"
        threads: config["compute"]["threads"]
        resources:
            **resources_of("geffect"),
        params:
            **cell_params(),
            **geffect_params(),
            compute=compute(),
            code=lambda w: hashed("geffect", *measured_files(w)),
        script:
            "../scripts/geffect.py"
