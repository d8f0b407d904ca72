"""Rule geffect: the G-effects of a cell's losses at every checkpoint."""

import pandas as pd

from geffect import effects, frames, models, runtime
from geffect.cell import Cell, Draws, Loss
from geffect.encoding import Encoder
from geffect.rows import read_rows


def main(inputs, output, params, wildcards, log):
    what = (
        f"geffect {wildcards.model} {wildcards.split} "
        f"{wildcards.objective}+{wildcards.regularizer} seed{wildcards.seed}"
    )
    with runtime.job(what, log, params.compute["threads"]):
        cell = Cell.read(
            Encoder.of(inputs.original, params.template),
            inputs,
            params.objective,
            params.regularizer,
            params.held_out,
            wildcards.seed,
        )
        training = pd.read_parquet(inputs.training)
        last = None if training["diverged"].any() else int(training["step"].iloc[-1])
        held_out = read_rows(inputs.held_out)
        frame = effects.along(
            models.trajectory(inputs.original, inputs.checkpoints, inputs.model, last),
            cell,
            Draws.load(inputs.draws),
            {name: Loss(**loss) for name, loss in params.probes.items()},
            held_out if params.retain_rows == "held_out" else None,
            params.micro_batch_size,
            params.compute["device"],
            what,
        )
        frames.with_cell(frame, wildcards).to_parquet(output.geffect, index=False)
        runtime.log.info("wrote %s", output.geffect)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
