"""Rule unlearn_measured: one cell's training run with its G-effects, without checkpoints."""

from geffect import frames, runtime, training, unlearning
from geffect.cell import Cell
from geffect.effects.measurement import Measurement


def main(inputs, output, params, wildcards, log):
    what = f"unlearn and measure {frames.cell_name(wildcards)}"
    with runtime.job(what, log, params.compute["threads"]):
        cell = Cell.of_job(inputs.original, inputs, params, wildcards)
        run = unlearning.Run(cell, inputs.original, params.compute["device"])
        measurement = Measurement.of_job(cell, run.draws, inputs, params)
        reference = run.reference(measurement.needs)
        outcome = run.train(
            training.Settings(**params.training),
            params.checkpoint_every,
            lambda model, step, last: measurement.at(model, step, reference),
            what,
        )
        run.save(outcome, output)
        for name, frame in measurement.frames().items():
            frames.with_cell(frame, wildcards).to_parquet(output[name], index=False)
            runtime.log.info("wrote %s", output[name])
        record = unlearning.record(inputs, output, wildcards, params, outcome)
        runtime.write_json(output.provenance, record)
        runtime.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
