"""Rule unlearn: one cell's training run, its checkpoints, draws and provenance."""

from geffect import models, runtime, training
from geffect.cell import Cell
from geffect.encoding import Encoder


def main(inputs, output, params, wildcards, log):
    what = (
        f"unlearn {wildcards.model} {wildcards.split} "
        f"{wildcards.objective}+{wildcards.regularizer} seed{wildcards.seed}"
    )
    with runtime.job(what, log, params.compute["threads"]):
        device = params.compute["device"]
        encoder = Encoder.of(inputs.original, params.template)
        cell = Cell.read(
            encoder,
            inputs,
            params.objective,
            params.regularizer,
            params.held_out,
            wildcards.seed,
        )
        model = models.load(inputs.original, device)
        draws = cell.draw(model.config.hidden_size)
        outcome = cell.unlearn(
            model,
            training.Settings(**params.training),
            draws,
            models.load(inputs.original, device) if cell.needs_reference else None,
            models.Checkpoints(output.checkpoints, params.checkpoint_every),
            what,
        )
        if outcome.diverged:
            models.record_divergence(output.model, *outcome.diverged)
            runtime.log.warning("diverged at step %d: %s", *outcome.diverged)
        else:
            models.save(model, encoder.tokenizer, output.model)
        draws.save(output.draws)
        outcome.frame().to_parquet(output.training, index=False)
        record = {
            "cell": dict(wildcards.items()),
            "settings": {name: value for name, value in params.items() if name != "code"},
            "code": params.code,
            "data": {n: runtime.sha256(inputs[n]) for n in ("forget", "retain", "refusals")},
            "weights": {
                "original": runtime.hash_folder(inputs.original),
                "unlearned": runtime.hash_folder(output.model),
            },
            "diverged": outcome.diverged,
        }
        runtime.write_json(output.provenance, record | runtime.provenance())
        runtime.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
