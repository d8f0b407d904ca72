"""What jobs do beforehand: prepare their device, and ask whether the engine can measure a model and
whether it fits their GPUs.

Nothing that they make depends on an answer, so a change of what gives it must not plan them again.
Hence that is called by name, and from here, where no code hash looks. It sees how a device is
prepared all the same, for whatever runs a model imports that module.
"""

import importlib
from collections.abc import Mapping
from typing import Any


def check_model(model: Any, measured: Mapping[str, Any]) -> None:
    """Refuses now what the engine would refuse after hours of training.

    Args:
        measured: the section `geffect` of the configuration.

    Raises:
        ModelError: as `effects.measurement.check_model`.
    """
    engine = importlib.import_module("geffect.effects.measurement")
    engine.check_model(model, measured["instances"], measured["tokens"])


def check_adapters(model: Any, config: Mapping[str, Any], wildcards: Any) -> None:
    """Refuses adapters now that a model's cells could not add to it later.

    Args:
        config: the configuration.
        wildcards: of the job.

    Raises:
        ConfigError: as `models.adapters.targets_of`.
    """
    adapters = importlib.import_module("geffect.models.adapters")
    for lora in importlib.import_module("geffect.config").Config(config).loras(wildcards.model):
        adapters.targets_of(model, lora["targets"])


def check_config(config: Any, measured: Mapping[str, Any], where: str) -> None:
    """The same for a model of which only the Hugging Face config is there.

    Raises:
        ModelError: as `effects.architectures.check_config`.
    """
    engine = importlib.import_module("geffect.effects.architectures")
    engine.check_config(config, measured["instances"], measured["tokens"], where)


def prepared(stage: str, script: Any) -> Any:
    """The device of a job, prepared as its parameters say, once its GPUs are known to be enough.

    Args:
        stage: of the job.
        script: has the rule's `params`, `wildcards` and `config`.

    Raises:
        ModelError: as `models.compute.prepare`.
        ConfigError: as `cost.check.check_gpus`: what would run out of memory later.
    """
    compute = importlib.import_module("geffect.models.compute")
    device = compute.prepare(**script.params.compute)
    check = importlib.import_module("geffect.cost.check")
    check.check_gpus(script.config, stage, dict(script.wildcards.items()), compute.gpus(device))
    return device
