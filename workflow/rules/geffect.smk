"""G-effects at every checkpoint of a cell (where `geffect.in_run` does not measure them earlier).

geffect  θ_o, checkpoints/, model/, draws.safetensors, data -> the cell's geffect.parquet,
         risk.parquet, trajectory.parquet, instances.parquet, tokens.parquet, geffect.json
"""

if not IN_RUN:

    rule geffect:
        input:
            original=original_model,
            forget=f"{ROOT}/data/{{split}}.parquet",
            retain=table_of("train"),
            refusals=table("refusals"),
            held_out=table_of("held_out"),
            model=f"{CELL}/model",
            checkpoints=f"{CELL}/checkpoints",
            training=f"{CELL}/training.parquet",
            draws=f"{CELL}/draws.safetensors",
        output:
            geffect=f"{CELL}/geffect.parquet",
            risk=f"{CELL}/risk.parquet",
            trajectory=f"{CELL}/trajectory.parquet",
            instances=if_asked("instances", f"{CELL}/instances.parquet"),
            tokens=if_asked("tokens", f"{CELL}/tokens.parquet"),
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
            nodes=1,
            gpu=requested("gpus", "geffect"),
            mem_mb=requested("mem_mb", "geffect"),
            runtime=requested("runtime", "geffect"),
        params:
            template=template_of,
            objective=objective_of,
            regularizer=regularizer_of,
            held_out_rows=CONFIG.untrained_rows,
            selection=selection_of,
            probes=probes_of,
            lora=lambda wildcards: training_of("unlearn")(wildcards).get("lora"),
            parameters=config["geffect"]["parameters"],
            retain_rows=config["geffect"]["retain_rows"],
            micro_batch_size=config["geffect"]["micro_batch_size"],
            instances=config["geffect"]["instances"],
            tokens=config["geffect"]["tokens"],
            change=config["geffect"]["change"],
            gradient_checkpointing=lambda wildcards: training_of("unlearn")(wildcards)[
                "gradient_checkpointing"
            ],
            max_rows=config["evaluation"]["max_rows"],
            compute=compute_of,
            code=measure_hash,
        script:
            "../scripts/measure.py"
