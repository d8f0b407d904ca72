"""Base training of scratch models, fine-tuning on full and on the retain splits, and models that
were fine-tuned elsewhere.

base_training  data/*.parquet -> models/{model}/base/seed{seed}/{model/,training.parquet,record.json}
finetune       base model, data/{corpus}.parquet -> models/{model}/{corpus}/seed{seed}/{model/,training.parquet,record.json}
take_base      a folder -> models/{model}/base/{model/,record.json}, with links to its files
take_model     a given folder, or a model of the hub -> models/{model}/{corpus}/seed{seed}/{model/,record.json},
               with links to its files; the same for every seed
"""


rule base_training:
    input:
        full=table("full"),
        background=background_tables(),
        refusals=table("refusals"),
    output:
        model=directory(f"{ROOT}/models/{{model}}/base/seed{{seed}}/model"),
        training=f"{ROOT}/models/{{model}}/base/seed{{seed}}/training.parquet",
        record=f"{ROOT}/models/{{model}}/base/seed{{seed}}/record.json",
    log:
        f"{ROOT}/logs/base_training/{{model}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/base_training/{{model}}_seed{{seed}}.tsv"
    wildcard_constraints:
        model=one_of(SCRATCH),
    conda:
        "../../envs/geffect.yaml"
    threads: config["compute"]["threads"]
    resources:
        nodes=1,
        gpu=requested("gpus", "base_training"),
        mem_mb=requested("mem_mb", "base_training"),
        runtime=requested("runtime", "base_training"),
    params:
        architecture=lambda w: CONFIG.model(w.model)["architecture"],
        config=lambda w: CONFIG.model(w.model)["config"],
        vocabulary=lambda w: CONFIG.model(w.model)["vocabulary"],
        template=template_of,
        training=training_of("base_training"),
        compute=compute_of,
        code=hashed("base_training"),
    script:
        "../scripts/base_training.py"


rule finetune:
    input:
        model=base_model,
        corpus=f"{ROOT}/data/{{corpus}}.parquet",
        background=background,
    output:
        model=directory(f"{MODEL}/model"),
        training=f"{MODEL}/training.parquet",
        record=f"{MODEL}/record.json",
    log:
        f"{ROOT}/logs/finetune/{{model}}_{{corpus}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/finetune/{{model}}_{{corpus}}_seed{{seed}}.tsv"
    wildcard_constraints:
        model=one_of_pairs((m, c) for m in CONFIG.models for c in CONFIG.trained(m)),
    conda:
        "../../envs/geffect.yaml"
    threads: config["compute"]["threads"]
    resources:
        nodes=1,
        gpu=requested("gpus", "finetune"),
        mem_mb=requested("mem_mb", "finetune"),
        runtime=requested("runtime", "finetune"),
    params:
        template=template_of,
        training=training_of("finetune"),
        repeats=lambda w: CONFIG.model(w.model).get("background_repeats", 0),
        compute=compute_of,
        code=hashed("finetune"),
    script:
        "../scripts/finetune.py"


rule take_model:
    input:
        downloaded=downloaded_model,
    output:
        model=directory(f"{MODEL}/model"),
        record=f"{MODEL}/record.json",
    log:
        f"{ROOT}/logs/take_model/{{model}}_{{corpus}}_seed{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/take_model/{{model}}_{{corpus}}_seed{{seed}}.tsv"
    wildcard_constraints:
        model=one_of_pairs(GIVEN),
    conda:
        "../../envs/geffect.yaml"
    params:
        given=given_model,
        content=content_of_given,
        code=hashed("take_model"),
    script:
        "../scripts/take_model.py"


use rule take_model as take_base with:
    input:
        downloaded=[],
    output:
        model=directory(f"{ROOT}/models/{{model}}/base/model"),
        record=f"{ROOT}/models/{{model}}/base/record.json",
    log:
        f"{ROOT}/logs/take_base/{{model}}.log",
    benchmark:
        f"{ROOT}/benchmarks/take_base/{{model}}.tsv"
    wildcard_constraints:
        model=one_of(BY_PATH),
    params:
        given=given_base,
        content=content_of_base,
        code=hashed("take_model"),
