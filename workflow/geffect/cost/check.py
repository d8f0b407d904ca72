"""Refuses a job that its GPUs cannot hold, before it computes anything."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from geffect.config import Config
from geffect.cost.cards import GB
from geffect.cost.plan import Job, Plan
from geffect.errors import ConfigError

log = logging.getLogger(__name__)

_FEWER_ROWS = {
    "base_training": "models.{model}.base_training.micro_batch_size",
    "finetune": "models.{model}.finetune.micro_batch_size",
    "unlearn": "models.{model}.unlearn.micro_batch_size",
    "geffect": "geffect.micro_batch_size",
    "relearn": "models.{model}.relearn.micro_batch_size and evaluation.micro_batch_size",
}
"""What makes a stage hold fewer activations; of the others: evaluation.micro_batch_size."""


def check_gpus(
    raw: Mapping[str, Any],
    stage: str,
    wildcards: Mapping[str, str],
    gpus: Sequence[tuple[str, int]],
) -> None:
    """Refuses a job that is counted to need more memory than its GPUs have.

    Args:
        raw: the configuration.
        stage: of the job; wildcards: of its rule.
        gpus: name and bytes of each GPU that the job sees; none on the CPU.

    Raises:
        ConfigError: there are fewer GPUs than requested, or they are too small (and
            `compute.check_memory` is true).
    """
    plan = Plan(Config(raw))
    try:
        job = plan.job(stage, wildcards)
    except ConfigError as error:
        log.info("memory is not checked beforehand: %s", error)
        return
    where = f"models.{job.model}.resources"
    if len(gpus) < job.gpus and (gpus or raw["compute"]["device"] != "cpu"):
        raise ConfigError(
            f"{where}: {stage} requests {job.gpus} GPUs, but sees {len(gpus)}; let it have "
            "as many (CUDA_VISIBLE_DEVICES, or what your scheduler grants), or lower gpus there"
            + ("" if gpus else ", or set compute.device: cpu")
        )
    if not gpus:
        return
    name, size = min(gpus, key=lambda gpu: gpu[1])
    job = replace(job, gpus=len(gpus))
    if job.per_card() <= size or not raw["compute"]["check_memory"]:
        return
    place = "its GPU" if job.gpus == 1 else f"each of {job.gpus} GPUs"
    raise ConfigError(
        f"{where}: {stage} needs {job.per_card() / GB:.1f} GB on {place} (together: "
        f"{job.largest(0.1)}), but {name} has {size / GB:.1f} GB; {_remedy(raw, job, size)}; if "
        "that counts too much, set compute.check_memory: false"
    )


def _remedy(raw: Mapping[str, Any], job: Job, size: float) -> str:
    enough = job.cards(size)
    found = [] if enough is None else [f"use {enough} of them (gpus)"]
    if job.parts.get("activations", 0) > 0.2 * job.per_card():
        key = _FEWER_ROWS.get(job.stage, "evaluation.micro_batch_size")
        if job.stage == "unlearn" and raw["geffect"]["in_run"]:
            key += " and geffect.micro_batch_size"
        found.append(f"lower {key.format(model=job.model)}")
    if job.stage == "unlearn" and raw["geffect"]["in_run"]:
        found.append("set geffect.in_run: false")
    return ", or ".join([*found, "use larger ones"])
