"""Rule unlearn: one cell's training run, its checkpoints, draws and provenance."""

from geffect import models, runtime, training, unlearning
from geffect.cell import Cell
from geffect.frames import cell_name


def main(inputs, output, params, wildcards, log):
    what = f"unlearn {cell_name(wildcards)}"
    with runtime.job(what, log, params.compute["threads"]):
        cell = Cell.of_job(inputs.original, inputs, params, wildcards)
        run = unlearning.Run(cell, inputs.original, params.compute["device"])
        outcome = run.train(
            training.Settings(**params.training),
            params.checkpoint_every,
            models.Checkpoints(output.checkpoints),
            what,
        )
        run.save(outcome, output)
        record = unlearning.record(inputs, output, wildcards, params, outcome)
        runtime.write_json(output.provenance, record)
        runtime.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
