"""Rule unlearn_measured: one cell's training run with its G-effects, without checkpoints."""

from geffect import frames, runtime, training, unlearning
from geffect.cell import Cell
from geffect.effects.measurement import Measurement
from geffect.resume import Resume


def main(inputs, output, params, wildcards, log):
    what = f"unlearn and measure {frames.cell_name(wildcards)}"
    with runtime.job(what, log, params.compute["threads"]):
        cell = Cell.of_job(inputs.original, inputs, params, wildcards)
        run = unlearning.Run(cell, inputs.original, params.compute["device"])
        measurement = Measurement.of_job(cell, run.draws, inputs, params)
        measurement.begin(run.model, run.reference(measurement.needs))
        resume = Resume.of_job(inputs, params, wildcards, log, params.checkpoint_every)
        outcome = run.train(
            training.Settings(**params.training), params.checkpoint_every, measurement, what, resume
        )
        for name, frame in measurement.frames().items():
            frames.write(frames.with_cell(frame, wildcards), output[name])
            runtime.log.info("wrote %s", output[name])
        run.save(outcome, output, resume.made_of)
        resume.clear()


if "snakemake" in globals():
    main(
        snakemake.input,
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.log[0],
    )
