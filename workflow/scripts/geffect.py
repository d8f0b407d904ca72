"""Rule geffect: the G-effects of a cell's losses at every checkpoint."""

from geffect import files, frames, models, runtime
from geffect.cell import Cell, Draws
from geffect.effects.measurement import Measurement, along


def main(inputs, output, params, wildcards, log):
    what = f"geffect {frames.cell_name(wildcards)}"
    with runtime.job(what, log, params.compute["threads"]):
        cell = Cell.of_job(inputs.original, inputs, params, wildcards)
        training = frames.read(inputs.training)
        last = None if training["diverged"].any() else int(training["step"].iloc[-1])
        measurement = Measurement.of_job(cell, Draws.load(inputs.draws), inputs, params)
        along(
            models.trajectory(inputs.original, inputs.checkpoints, inputs.model, last),
            measurement,
            params.compute["device"],
            what,
        )
        for name, frame in measurement.frames().items():
            frames.write(frames.with_cell(frame, wildcards), output[name])
            runtime.log.info("wrote %s", output[name])
        made_of = runtime.made_of(inputs, params, wildcards)
        files.write_json(runtime.record(made_of), output.record)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
