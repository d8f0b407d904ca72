"""Evaluation of cells, and of the original and retain models.

evaluate            a cell's model/, data, the retain model's log -> metrics.parquet, samples.parquet, evaluation.json
evaluate_reference  a fine-tuned model -> references/{model}/{corpus}/{split}/seed{seed}/...
evaluate_at         a cell's checkpoints/, data, the retain model's log -> metrics_at.parquet, evaluation_at.json
                    (where `evaluation.at` asks for steps)
matched             θ_o, a cell's model/, data, the retain model's log -> matched.parquet, matched.json
                    (where `matched.evaluate` asks for it)
"""


rule evaluate:
    input:
        model=f"{CELL}/model",
        provenance=f"{CELL}/provenance.json",
        unlearn=f"{ROOT}/data/{{split}}.parquet",
        retain=table_of("held_out"),
        real_authors=table("real_authors"),
        world_facts=table("world_facts"),
        holdout=table_of("holdout"),
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
        given=lambda w: given_model(w) if w.get("corpus") else None,
        template=template_of,
        evaluation=CONFIG.evaluation,
        compute=compute_of,
        code=hashed("evaluate"),
    script:
        "../scripts/evaluate.py"


use rule evaluate as evaluate_reference with:
    input:
        model=f"{MODEL}/model",
        unlearn=f"{ROOT}/data/{{split}}.parquet",
        retain=table_of("held_out"),
        real_authors=table("real_authors"),
        world_facts=table("world_facts"),
        holdout=table_of("holdout"),
        retain_samples=retain_samples,
    output:
        metrics=f"{REFERENCE}/metrics.parquet",
        samples=f"{REFERENCE}/samples.parquet",
        record=f"{REFERENCE}/evaluation.json",
    log:
        f"{ROOT}/logs/evaluate_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/evaluate_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.tsv"


if AT_STEPS:

    rule evaluate_at:
        input:
            original=original_model,
            reference=original_metrics,
            checkpoints=f"{CELL}/checkpoints",
            metrics=f"{CELL}/metrics.parquet",
            training=f"{CELL}/training.parquet",
            unlearn=f"{ROOT}/data/{{split}}.parquet",
            retain=table_of("held_out"),
            real_authors=table("real_authors"),
            world_facts=table("world_facts"),
            holdout=table_of("holdout"),
            retain_samples=retain_samples,
        output:
            metrics=f"{CELL}/metrics_at.parquet",
            record=f"{CELL}/evaluation_at.json",
        log:
            f"{ROOT}/logs/evaluate_at/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
        benchmark:
            f"{ROOT}/benchmarks/evaluate_at/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
        priority: 10
        conda:
            "../../envs/geffect.yaml"
        threads: config["compute"]["threads"]
        resources:
            nodes=1,
            gpu=requested("gpus", "evaluate"),
            mem_mb=requested("mem_mb", "evaluate"),
            runtime=requested_for_steps,
        params:
            template=template_of,
            steps=lambda w: CONFIG.evaluated_steps(cell_of(w)),
            evaluation=CONFIG.evaluation,
            compute=compute_of,
            code=hashed("evaluate_at"),
        script:
            "../scripts/evaluate_at.py"


if MATCHED:

    rule matched:
        input:
            original=original_model,
            model=f"{CELL}/model",
            provenance=f"{CELL}/provenance.json",
            metrics=f"{CELL}/metrics.parquet",
            unlearn=f"{ROOT}/data/{{split}}.parquet",
            retain=table_of("held_out"),
            real_authors=table("real_authors"),
            world_facts=table("world_facts"),
            holdout=table_of("holdout"),
            retain_samples=retain_samples,
        output:
            matched=f"{CELL}/matched.parquet",
            record=f"{CELL}/matched.json",
        log:
            f"{ROOT}/logs/matched/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
        benchmark:
            f"{ROOT}/benchmarks/matched/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
        conda:
            "../../envs/geffect.yaml"
        threads: config["compute"]["threads"]
        resources:
            nodes=1,
            gpu=requested("gpus", "matched"),
            mem_mb=requested("mem_mb", "matched"),
            runtime=requested("runtime", "matched"),
        params:
            template=template_of,
            evaluation=CONFIG.evaluation,
            es_retain=config["matched"]["es_retain"],
            tolerance=config["matched"]["tolerance"],
            compute=compute_of,
            code=hashed("matched"),
        script:
            "../scripts/matched.py"
