"""Rule unlearn: one cell's training run, its checkpoints, draws and provenance."""

from geffect import models, runtime, training, unlearning
from geffect.cell import Cell
from geffect.frames import cell_name
from geffect.resume import Resume


def main(inputs, output, params, wildcards, log):
    what = f"unlearn {cell_name(wildcards)}"
    with runtime.job(what, log, params.compute["threads"]):
        cell = Cell.of_job(inputs.original, inputs, params, wildcards)
        settings = training.Settings(**params.training)
        run = unlearning.Run(cell, inputs.original, params.compute["device"])
        resume = Resume.of_job(inputs, params, wildcards, log, params.checkpoint_every)
        checkpoints = models.Checkpoints(
            resume.folder / "checkpoints", settings.steps(len(cell.forget))
        )
        outcome = run.train(settings, params.checkpoint_every, checkpoints, what, resume)
        run.save(outcome, output, resume.made_of)
        # What is moved goes with the outputs of a killed job, so no state may outlive the move.
        resume.drop()
        checkpoints.move(output.checkpoints)
        resume.clear()


if "snakemake" in globals():
    main(
        snakemake.input,
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.log[0],
    )
