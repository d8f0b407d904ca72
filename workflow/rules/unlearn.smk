"""Unlearning, one job a cell.

unlearn  θ_o, data/{split,retain,refusals}.parquet -> the cell's model/, training.parquet,
         draws.safetensors, provenance.json; and, by `geffect.in_run`,
         false: checkpoints/, for rule geffect;
         true (with data/held_out.parquet): the tables of rule geffect, and no checkpoints but
         those that `evaluation.at` asks for
"""


rule unlearn:
    input:
        original=original_model,
        forget=f"{ROOT}/data/{{split}}.parquet",
        retain=table_of("train"),
        refusals=table("refusals"),
        held_out=table_of("held_out") if IN_RUN else [],
    output:
        model=final_model(f"{CELL}/model"),
        training=f"{CELL}/training.parquet",
        draws=f"{CELL}/draws.safetensors",
        provenance=f"{CELL}/provenance.json",
        checkpoints=checkpoints(f"{CELL}/checkpoints") if CHECKPOINTS else [],
        geffect=if_in_run(f"{CELL}/geffect.parquet"),
        risk=if_in_run(f"{CELL}/risk.parquet"),
        trajectory=if_in_run(f"{CELL}/trajectory.parquet"),
        instances=if_in_run(if_asked("instances", f"{CELL}/instances.parquet")),
        tokens=if_in_run(if_asked("tokens", f"{CELL}/tokens.parquet")),
    log:
        f"{ROOT}/logs/unlearn/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/unlearn/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
    conda:
        "../../envs/geffect.yaml"
    threads: config["compute"]["threads"]
    resources:
        nodes=1,
        gpu=requested("gpus", "unlearn_in_run" if IN_RUN else "unlearn"),
        mem_mb=requested("mem_mb", "unlearn_in_run" if IN_RUN else "unlearn"),
        runtime=requested("runtime", "unlearn_in_run" if IN_RUN else "unlearn"),
    params:
        given=given_model,
        template=template_of,
        objective=objective_of,
        regularizer=regularizer_of,
        held_out_rows=CONFIG.untrained_rows,
        selection=selection_of,
        training=training_of("unlearn"),
        checkpoint_every=config["training"]["checkpoint_every"],
        kept_steps=kept_steps,
        measurement=measurement_of,
        compute=compute_of,
        code=unlearn_hash,
    script:
        "../scripts/unlearn.py"
