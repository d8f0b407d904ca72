"""Rule unlearn: one cell's training run; its checkpoints, or its G-effects measured on the way."""

import importlib
from types import SimpleNamespace

from geffect import files, frames
from geffect.cells.cell import Cell
from geffect.jobs import context, engine, provenance
from geffect.models.checkpoints import Checkpoints
from geffect.names import OBJECTIVE
from geffect.training.resume import Resume
from geffect.training.settings import TrainingSettings
from geffect.training.unlearning import Observers, Run


def main(job):
    inputs, output, params, wildcards = job.input, job.output, job.params, job.wildcards
    what = f"unlearn {frames.cell_name(wildcards)}"
    with context.computing("unlearn", what, job) as device:
        cell = Cell.of_job(inputs.original, inputs, params, wildcards)
        settings = TrainingSettings(**params.training)
        run = Run(cell, inputs.original, device, settings.lora)
        engine.check_model(run.model, job.config["geffect"])
        made_of = provenance.made_of(inputs, params, wildcards)
        every, minutes = params.checkpoint_every, job.config["training"]["resume_minutes"]
        # Measured steps only: there a measurement within the run can be taken up again.
        resume = Resume(context.work(job.log[0]), [made_of, provenance.packages()], every, minutes)
        checkpoints = Checkpoints(
            resume.folder / "checkpoints", settings.steps(len(cell.forget)), params.kept_steps
        )
        measurement = None if params.measurement is None else measured_in(run, inputs, params)
        observer = checkpoints if measurement is None else Observers(checkpoints, measurement)
        select = selection(run, params.selection, settings.micro_batch_size)
        outcome = run.train(settings, every, observer, what, resume, select)
        if measurement is not None:
            frames.write_cell(measurement.tables(), wildcards, output)
        run.save(outcome, output)
        record = provenance.run_record(made_of, output.model, outcome.diverged)
        files.write_json(record, output.provenance)
        if output.checkpoints:
            # Outputs of a killed job are deleted, so no state may outlive the move to them.
            resume.drop()
            checkpoints.move(output.checkpoints)
        resume.clear()


def measured_in(run, inputs, params):
    """The measurement that looks at a run as it goes."""
    # Imported by name, since a run with checkpoints does not depend on them; where they are used
    # the rule passes these modules to the code hash.
    effects = importlib.import_module("geffect.effects.measurement")
    evaluation = importlib.import_module("geffect.evaluation.trajectory")
    settings = SimpleNamespace(**params.measurement)
    onlooker = evaluation.Trajectory.of_job(run.cell, inputs, settings)
    measurement = effects.Measurement.of_job(run.cell, run.draws, inputs, settings, onlooker)
    measurement.begin(run.model, run.original if measurement.looks_at_original else None)
    return measurement


def selection(run, chosen, micro_batch_size):
    """What leaves out tokens of the objective's batches, if the variant asks for that."""
    if chosen is None:
        return None
    # Imported by name like the measurement, and passed to the code hash where it is used.
    module = importlib.import_module("geffect.effects.selection")
    settings = module.SelectionSettings(**chosen)
    return module.TokenSelection(run.cell, run.losses[OBJECTIVE], settings, micro_batch_size)


if "snakemake" in globals():
    main(snakemake)
