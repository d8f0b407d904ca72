"""Rules quantize and quantize_reference: what a model knows when its weights are rounded."""

from geffect import files, frames
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.evaluation.folder import holds_weights
from geffect.evaluation.recall import Recall, nothing, write
from geffect.jobs import context, provenance
from geffect.models.folder import load_model
from geffect.models.rounding import round_weights
from geffect.names import RETAIN, TOFU_SETS, UNLEARN, WHOLE_BITS


def main(job):
    inputs, output, params, wildcards = job.input, job.output, job.params, job.wildcards
    what = f"quantize {' '.join(str(value) for _, value in wildcards.items())}"
    with context.computing("quantize", what, job) as device:
        rows = {UNLEARN: read_rows(inputs.unlearn), RETAIN: read_rows(inputs.retain)}
        rows = {name: own[: params.max_rows] for name, own in rows.items()}
        made = provenance.made_of(inputs, params, wildcards)
        about = {"rounded": {}, "missing": {}}
        tables = {}
        if holds_weights(inputs.model, inputs.get("provenance")):
            encoder = Encoder.of(inputs.model, params.template)
            recall = Recall(encoder, rows, TOFU_SETS, params.micro_batch_size)
            about["missing"] = {f"truth_ratio of {name}": why for name, why in recall.why.items()}
            tables[WHOLE_BITS] = recall.table(load_model(inputs.model, device))
            for bits in params.bits:
                model = load_model(inputs.model, device)
                about["rounded"][bits] = round_weights(model, bits)
                tables[bits] = recall.table(model)
                del model  # two models at once may not fit
                context.log.info("%d bits: %.0f%% of weights", bits, 100 * about["rounded"][bits])
        key, missing = frames.key_of(wildcards), nothing(TOFU_SETS, TOFU_SETS)
        write(tables, "bits", (WHOLE_BITS, *params.bits), missing, key, output.quantized)
        files.write_json(provenance.record(made) | about, output.record)
        context.log.info("wrote %s", output.quantized)


if "snakemake" in globals():
    main(snakemake)
