"""From the configured source to verified parquet tables, and models from the hub.

data                -> data/{full,forgetNN,retainNN,held_out,real_authors,world_facts,refusals}.parquet, record.json;
                       of own files {SPLIT,retain_SPLIT,train_SPLIT,held_out_SPLIT,holdout_SPLIT}.parquet, found.json
download_model      hub id and revision -> models/{model}/base/{model/,record.json}
download_finetuned  the same of a fine-tuned model -> models/{model}/{corpus}/hub/{model/,record.json}
"""


rule data:
    output:
        tables=[table(name) for name in table_names(map(split_of, CONFIG.splits))],
        found=if_own(CONFIG.sizes_file),
        record=f"{ROOT}/data/record.json",
    log:
        f"{ROOT}/logs/data.log",
    benchmark:
        f"{ROOT}/benchmarks/data.tsv"
    conda:
        "../../envs/geffect.yaml"
    params:
        settings=data_settings(),
        splits=CONFIG.splits,
        files=lambda w: own_files(),
        refusals=refusals_hash(),
        code=hashed("data"),
    script:
        "../scripts/data.py"


rule download_model:
    output:
        model=directory(f"{ROOT}/models/{{model}}/base/model"),
        record=f"{ROOT}/models/{{model}}/base/record.json",
    log:
        f"{ROOT}/logs/download_model/{{model}}.log",
    benchmark:
        f"{ROOT}/benchmarks/download_model/{{model}}.tsv"
    wildcard_constraints:
        model=one_of(HUB),
    conda:
        "../../envs/geffect.yaml"
    params:
        id=lambda w: CONFIG.model(w.model)["id"],
        revision=lambda w: CONFIG.model(w.model)["revision"],
        layers=lambda w: CONFIG.model(w.model)["layers"],
        code=hashed("download_model"),
    script:
        "../scripts/download_model.py"


use rule download_model as download_finetuned with:
    output:
        model=directory(f"{ROOT}/models/{{model}}/{{corpus}}/hub/model"),
        record=f"{ROOT}/models/{{model}}/{{corpus}}/hub/record.json",
    log:
        f"{ROOT}/logs/download_finetuned/{{model}}_{{corpus}}.log",
    benchmark:
        f"{ROOT}/benchmarks/download_finetuned/{{model}}_{{corpus}}.tsv"
    wildcard_constraints:
        model=one_of_pairs(GIVEN_ON_HUB),
    params:
        id=lambda w: given_model(w)["id"],
        revision=lambda w: given_model(w)["revision"],
        layers=lambda w: CONFIG.model(w.model)["layers"],
        code=hashed("download_model"),
