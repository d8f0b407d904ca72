"""Unlearning, one job a cell. `geffect.in_run` decides which of the two rules is defined.

unlearn           θ_o, data/{split,retain,refusals}.parquet -> the cell's model/, checkpoints/,
                  training.parquet, draws.safetensors, provenance.json
unlearn_measured  the same and data/held_out.parquet -> the same without checkpoints/, and
                  the tables of rule geffect
"""

if config["geffect"]["in_run"]:

    rule unlearn_measured:
        input:
            **cell_inputs(),
            held_out=table("held_out"),
        output:
            **geffect_tables(),
            model=final_model(f"{CELL}/model"),
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
            **resources_of("unlearn_measured"),
        params:
            **cell_params(),
            **unlearn_params(),
            **geffect_params(),
            compute=compute(),
            code=lambda w: hashed("unlearn_measured", *measured_files(w)),
        script:
            "../scripts/unlearn_measured.py"

else:

    rule unlearn:
        input:
            **cell_inputs(),
        output:
            model=final_model(f"{CELL}/model"),
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
            **resources_of("unlearn"),
        params:
            **cell_params(),
            **unlearn_params(),
            compute=compute(),
            code=lambda w: hashed("unlearn", *cell_files(w)),
        script:
            "../scripts/unlearn.py"
