"""What rules base_training and finetune have in common as jobs: fit, save, record."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from geffect import files, frames
from geffect.data.encoding import Encoder, Example
from geffect.jobs import context, engine, provenance
from geffect.models.folder import save_model
from geffect.training.fit import fit
from geffect.training.resume import Resume
from geffect.training.settings import TrainingSettings


def fit_model(
    model: PreTrainedModel, encoder: Encoder, examples: Sequence[Example], what: str, job: Any
) -> None:
    """Fits a model to all examples, and writes it, the log of its training and its record.

    Args:
        what: the name of the run in progress lines and errors.
        job: has the rule's `input`, `output`, `params`, `wildcards`, `log` and `config`, as its
            script has them.

    Raises:
        ModelError: the engine could not measure the model, or the run diverged.
        ConfigError: there is not a single full batch, or adapters of the model's cells name no
            linear layer of it.
    """
    engine.check_model(model, job.config["geffect"])
    engine.check_adapters(model, job.config, job.wildcards)
    made_of = provenance.made_of(job.input, job.params, job.wildcards)
    fingerprint = [made_of, provenance.packages()]
    chosen = job.config["training"]
    resume = Resume(
        context.work(job.log[0]), fingerprint, chosen["resume_every"], chosen["resume_minutes"]
    )
    settings = TrainingSettings(**job.params.training)
    frame = fit(model, examples, settings, int(job.wildcards.seed), what, resume)
    save_model(model, encoder.tokenizer, job.output.model)
    frames.write(frame, job.output.training)
    files.write_json(provenance.record(made_of), job.output.record)
    resume.clear()
    context.log.info("wrote %s", job.output.model)
