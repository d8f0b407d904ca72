"""Does it stay forgotten? Unlearned models that relearn, or whose weights are rounded.

relearn             a cell's model/, data -> relearn.parquet, relearn.json
relearn_reference   a retain model, treated alike -> references/{model}/{corpus}/{split}/seed{seed}/...
                    (where the section `relearn` asks for it)
quantize            a cell's model/, data -> quantized.parquet, quantized.json
quantize_reference  the original and the retain model -> references/...
                    (where `quantize` names bits)

All of them are short, and start over if they are killed.
"""

if RELEARN:

    rule relearn:
        input:
            model=f"{CELL}/model",
            provenance=f"{CELL}/provenance.json",
            forget=f"{ROOT}/data/{{split}}.parquet",
            held_out=table_of("held_out"),
        output:
            relearn=f"{CELL}/relearn.parquet",
            record=f"{CELL}/relearn.json",
        log:
            f"{ROOT}/logs/relearn/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
        benchmark:
            f"{ROOT}/benchmarks/relearn/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
        conda:
            "../../envs/geffect.yaml"
        threads: config["compute"]["threads"]
        resources:
            nodes=1,
            gpu=requested("gpus", "relearn"),
            mem_mb=requested("mem_mb", "relearn"),
            runtime=requested("runtime", "relearn"),
        params:
            template=template_of,
            rows=config["relearn"]["rows"],
            training=lambda wildcards: CONFIG.relearning(wildcards.model),
            micro_batch_size=config["evaluation"]["micro_batch_size"],
            max_rows=config["evaluation"]["max_rows"],
            compute=compute_of,
            code=hashed("relearn"),
        script:
            "../scripts/relearn.py"

    use rule relearn as relearn_reference with:
        input:
            model=f"{MODEL}/model",
            forget=f"{ROOT}/data/{{split}}.parquet",
            held_out=table_of("held_out"),
        output:
            relearn=f"{REFERENCE}/relearn.parquet",
            record=f"{REFERENCE}/relearn.json",
        log:
            f"{ROOT}/logs/relearn_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.log",
        benchmark:
            f"{ROOT}/benchmarks/relearn_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.tsv"


if QUANTIZE:

    rule quantize:
        input:
            model=f"{CELL}/model",
            provenance=f"{CELL}/provenance.json",
            unlearn=f"{ROOT}/data/{{split}}.parquet",
            retain=table_of("held_out"),
        output:
            quantized=f"{CELL}/quantized.parquet",
            record=f"{CELL}/quantized.json",
        log:
            f"{ROOT}/logs/quantize/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.log",
        benchmark:
            f"{ROOT}/benchmarks/quantize/{{model}}_{{split}}_{{objective}}+{{regularizer}}_seed{{seed}}.tsv"
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
            bits=config["quantize"],
            micro_batch_size=config["evaluation"]["micro_batch_size"],
            max_rows=config["evaluation"]["max_rows"],
            compute=compute_of,
            code=hashed("quantize"),
        script:
            "../scripts/quantize.py"

    use rule quantize as quantize_reference with:
        input:
            model=f"{MODEL}/model",
            unlearn=f"{ROOT}/data/{{split}}.parquet",
            retain=table_of("held_out"),
        output:
            quantized=f"{REFERENCE}/quantized.parquet",
            record=f"{REFERENCE}/quantized.json",
        log:
            f"{ROOT}/logs/quantize_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.log",
        benchmark:
            f"{ROOT}/benchmarks/quantize_reference/{{model}}_{{corpus}}_{{split}}_seed{{seed}}.tsv"
