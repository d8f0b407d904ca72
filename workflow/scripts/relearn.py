"""Rules relearn and relearn_reference: a model relearns a few forget rows; what of the others."""

from geffect import files, frames
from geffect.data.draws import division, generator
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.evaluation.folder import holds_weights
from geffect.evaluation.recall import Recall, nothing, write
from geffect.jobs import context, provenance
from geffect.models.folder import load_model
from geffect.names import OTHER, RELEARNED, RETAIN
from geffect.training.relearning import relearn
from geffect.training.settings import TrainingSettings

DATASETS = (OTHER, RELEARNED, RETAIN)


def main(job):
    inputs, output, params, wildcards = job.input, job.output, job.params, job.wildcards
    what = f"relearn {' '.join(str(value) for _, value in wildcards.items())}"
    with context.computing("relearn", what, job) as device:
        forget, settings = read_rows(inputs.forget), TrainingSettings(**params.training)
        seed = int(wildcards.seed)
        chosen, others = division(len(forget), params.rows, generator(seed, "relearned rows"))
        rows = {
            OTHER: [forget[number] for number in others][: params.max_rows],
            RELEARNED: [forget[number] for number in chosen],
            RETAIN: read_rows(inputs.held_out)[: params.max_rows],
        }
        made = provenance.made_of(inputs, params, wildcards)
        about = {"rows": [row["row"] for row in rows[RELEARNED]], "updates": 0}
        about |= {"learning_rate_sum": 0.0, "missing": {}}
        tables = {}
        if holds_weights(inputs.model, inputs.get("provenance")):
            recall = Recall(
                Encoder.of(inputs.model, params.template), rows, [OTHER], params.micro_batch_size
            )

            def look(model, epoch):
                tables[epoch] = recall.table(model)

            model = load_model(inputs.model, device)
            outcome = relearn(model, recall.answers[RELEARNED], settings, seed, what, look)
            training = outcome.frame()
            about["updates"] = len(training)
            about["learning_rate_sum"] = float(training["learning_rate"].sum())
            about["missing"] = {f"truth_ratio of {name}": why for name, why in recall.why.items()}
            if outcome.diverged is not None:
                step, reason = outcome.diverged
                about["missing"]["later epochs"] = f"diverged at update {step}: {reason}"
                context.log.warning("relearning diverged at update %d: %s", step, reason)
        epochs = range(int(settings.epochs) + 1)
        key, missing = frames.key_of(wildcards), nothing(DATASETS, [OTHER])
        write(tables, "epoch", epochs, missing, key, output.relearn)
        files.write_json(provenance.record(made) | about, output.record)
        context.log.info("wrote %s", output.relearn)


if "snakemake" in globals():
    main(snakemake)
