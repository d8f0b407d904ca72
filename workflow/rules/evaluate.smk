"""Evaluation of cells, and of the original and retain models.

evaluate            a cell's model/, data, the retain model's log -> metrics.parquet, samples.parquet, evaluation.json
evaluate_reference  a fine-tuned model -> references/{model}/{corpus}/{split}/seed{seed}/...
"""


rule evaluate:
    input:
        model=f"{CELL}/model",
        provenance=f"{CELL}/provenance.json",
        unlearn=f"{ROOT}/data/{{split}}.parquet",
        retain=table("held_out"),
        real_authors=table("real_authors"),
        world_facts=table("world_facts"),
        holdout=holdout_table,
        retain_samples=retain_samples,
    output:
        metrics=f"{CELL}/metrics.parquet",
        samples=f"{CELL}/samples.parquet",
        record=f"{CELL}/evaluation.json",
    log:
        f"{ROOT}/logs/evaluate/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/evaluate/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
    conda:
        "../../envs/geffect.yaml"
    threads: config["compute"]["threads"]
    resources:
        nodes=1,
        gpu=requested("gpus", "evaluate"),
        mem_mb=requested("mem_mb", "evaluate"),
        runtime=requested("runtime", "evaluate"),
    params:
        template=template_of,
        evaluation=config["evaluation"],
        compute=compute(),
        code=hashed("evaluate"),
    script:
        "../scripts/evaluate.py"


use rule evaluate as evaluate_reference with:
    input:
        model=f"{MODEL}/model",
        unlearn=f"{ROOT}/data/{{split}}.parquet",
        retain=table("held_out"),
        real_authors=table("real_authors"),
        world_facts=table("world_facts"),
        holdout=holdout_table,
        retain_samples=retain_samples,
    output:
        metrics=f"{REFERENCE}/metrics.parquet",
        samples=f"{REFERENCE}/samples.parquet",
        record=f"{REFERENCE}/evaluation.json",
    log:
        f"{ROOT}/logs/evaluate_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/evaluate_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.tsv"
