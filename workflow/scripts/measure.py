"""Rule geffect: the G-effects of a cell's losses at every checkpoint."""

from functools import partial

from geffect import files, frames
from geffect.cells.cell import Cell
from geffect.cells.draws import Draws
from geffect.effects.measurement import Measurement, measure_checkpoints
from geffect.evaluation.trajectory import Trajectory
from geffect.jobs import context, provenance
from geffect.models.adapters import loader
from geffect.models.checkpoints import moved_until, trajectory


def main(job):
    inputs, output, params, wildcards = job.input, job.output, job.params, job.wildcards
    what = f"geffect {frames.cell_name(wildcards)}"
    with context.computing("geffect", what, job) as device:
        cell = Cell.of_job(inputs.original, inputs, params, wildcards)
        training = frames.read(inputs.training)
        last = None if training["diverged"].any() else int(training["step"].iloc[-1])
        onlooker = Trajectory.of_job(cell, inputs, params)
        measurement = Measurement.of_job(cell, Draws.load(inputs.draws), inputs, params, onlooker)
        run = trajectory(inputs.original, inputs.checkpoints, inputs.model, last)
        moved = partial(moved_until, inputs.checkpoints)
        load = loader(inputs.original, device, cell.seed, params.lora)
        again = params.gradient_checkpointing
        measure_checkpoints(run, measurement, device, what, moved, again, load)
        frames.write_cell(measurement.tables(), wildcards, output)
        made_of = provenance.made_of(inputs, params, wildcards)
        files.write_json(provenance.record(made_of), output.record)


if "snakemake" in globals():
    main(snakemake)
